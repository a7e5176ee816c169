"""Locks that one process in the whole system holds at a time.

They belong to a transaction, not to a session: a pooler that gives the session to another client
after each transaction would leave a session's lock behind. The transaction has a connection of its
own, so that work under the lock can commit independently.

Postgres keeps the lock of a holder whose connection went silent. So it is configured to end a
session that is idle for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import peewee

from models.database import DatabaseUnavailable, lock_database, session_of

SILENT_SECONDS = 8
"""A holder that does not renew its lock within this time loses it."""
LONGEST_HOLD_SECONDS = 900
"""Longer than any work under a lock that nobody waits for."""


@contextmanager
def locked(
    key: int, *, wait_seconds: float, silent_seconds: float = SILENT_SECONDS
) -> Iterator[Callable[[], None]]:
    """Wait for the lock and hold it. Yields a function that renews it, to be called within
    ``silent_seconds``.

    Raises DatabaseUnavailable where Postgres does not answer, the lock was not free in time, or it
    was lost because it was not renewed.
    """
    with session_of(lock_database), lock_database.atomic():
        try:
            lock_database.execute_sql(
                f"{_limit_idle_time(silent_seconds)}; "
                # The usual limit for locked rows would end the wait for a planner that works.
                f"SET LOCAL lock_timeout = '{int(wait_seconds * 1000)}ms'; "
                "SELECT pg_advisory_xact_lock(%s)",
                (key,),
            )
        except peewee.OperationalError as error:
            raise DatabaseUnavailable(f"lock {key:#x}: {error}".strip()) from error
        yield _renew


@contextmanager
def lock_if_free(key: int) -> Iterator[bool]:
    """Whether this process holds the lock now; False at once where another one does."""
    with session_of(lock_database), lock_database.atomic():
        row = lock_database.execute_sql(
            f"{_limit_idle_time(LONGEST_HOLD_SECONDS)}; SELECT pg_try_advisory_xact_lock(%s)",
            (key,),
        ).fetchone()
        yield bool(row[0])


def _limit_idle_time(seconds: float) -> str:
    """Set how long the transaction may idle while the work under the lock is done."""
    return f"SET LOCAL idle_in_transaction_session_timeout = '{int(seconds * 1000)}ms'"


def _renew() -> None:
    lock_database.execute_sql("SELECT 1")
