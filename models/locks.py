"""Locks that one process in the whole system holds at a time.

They belong to a transaction, not to a session: a pooler that gives a session to somebody else
after each transaction would leave a session's lock behind for ever. The transaction has a
connection of its own, so that what is done under the lock commits when it likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import peewee

from models.database import DatabaseUnavailable, lock_database, session_of


@contextmanager
def locked(key: int, *, wait_seconds: float) -> Iterator[None]:
    """Hold the lock; wait for it.

    Raises:
        DatabaseUnavailable: Postgres does not answer, or the lock was not free in time.
    """
    with _transaction():
        lock_database.execute_sql(f"SET LOCAL lock_timeout = '{int(wait_seconds * 1000)}ms'")
        try:
            lock_database.execute_sql("SELECT pg_advisory_xact_lock(%s)", (key,))
        except peewee.OperationalError as error:
            raise DatabaseUnavailable(f"lock {key:#x}: {error}".strip()) from error
        yield


@contextmanager
def lock_if_free(key: int) -> Iterator[bool]:
    """Whether this process holds the lock now; False at once where another one does."""
    with _transaction():
        row = lock_database.execute_sql("SELECT pg_try_advisory_xact_lock(%s)", (key,)).fetchone()
        yield bool(row[0])


@contextmanager
def _transaction() -> Iterator[None]:
    """It idles while the work under the lock is done, and no time limit may end it for that."""
    with session_of(lock_database), lock_database.atomic():
        lock_database.execute_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield
