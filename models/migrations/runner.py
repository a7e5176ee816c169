"""Runs the numbered migrations of this package, one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from peewee import OperationalError, ProgrammingError
from playhouse.migrations import MigrationError as PlayhouseError
from playhouse.migrations import Runner

from models.database import database, session

DIRECTORY = Path(__file__).parent
HISTORY_TABLE = "schema_migrations"
LOCK_KEY = 0x6B6F73_01
LOCK_WAIT_SECONDS = 60


class MigrationFailed(Exception):
    """A migration did not apply; nothing of it was kept. The message says what to do."""


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    name: str
    applied_at: datetime | None


def up() -> list[str]:
    """Apply what is pending; the names applied. Adopts existing tables, drops nothing.

    Raises:
        MigrationFailed: a statement was refused, or another migration holds the lock.
    """
    with _locked() as runner:
        return _run(runner.up)


def down() -> list[str]:
    """Take back the newest migration: only what it added, never rows of others."""
    with _locked() as runner:
        return _run(runner.down)


def status() -> list[MigrationStatus]:
    """Every migration in order, with the time it was applied (None: pending)."""
    with session():
        rows = Runner(database, str(DIRECTORY), table_name=HISTORY_TABLE).status()
    return [MigrationStatus(name=row.name, applied_at=row.applied) for row in rows]


def pending() -> list[str]:
    return [row.name for row in status() if row.applied_at is None]


@contextmanager
def _locked() -> Iterator[Runner]:
    with session():
        database.execute_sql(f"SET lock_timeout = '{LOCK_WAIT_SECONDS}s'")
        try:
            database.execute_sql("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
        except OperationalError as error:
            raise MigrationFailed(
                f"another migration has held the lock for {LOCK_WAIT_SECONDS} s; "
                "wait for it, then run `kos migrate up` again"
            ) from error
        try:
            yield Runner(database, str(DIRECTORY), table_name=HISTORY_TABLE)
        finally:
            database.execute_sql("SELECT pg_advisory_unlock(%s)", (LOCK_KEY,))
            database.execute_sql("RESET lock_timeout")


def _run(step: object) -> list[str]:
    assert callable(step)
    try:
        return list(step())
    except (PlayhouseError, ProgrammingError, OperationalError) as error:
        raise MigrationFailed(str(error).strip().splitlines()[0]) from error
