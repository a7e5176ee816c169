"""Runs the numbered migrations of this package, one process at a time, all or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import peewee
from peewee import OperationalError
from playhouse.migrations import MigrationError as PlayhouseError
from playhouse.migrations import Runner

from models import server, site
from models.bounded_connection import statement_limit
from models.database import database, session, sqlstate
from models.migrations.adopt import columns_of, dependencies_unfollowed, follow_dependencies

DIRECTORY = Path(__file__).parent
HISTORY_TABLE = "kos_migrations"
FORMER_HISTORY_TABLE = "schema_migrations"
"""The name until step 0007. Many programs call their own history so, in shapes of their own."""
LOCK_KEY = 0x6B6F73_01
LOCK_WAIT_SECONDS = 60
REMEDIES = {
    "2BP01": "drop that, take all steps back, then create it again",
    "42501": "run this with the DATABASE_URL of the owner of the tables",
}
"""By SQLSTATE: a view as ``SELECT *`` that the site created again after the adoption holds our
columns; a role that does not own the tables."""


class MigrationFailed(Exception):
    """A migration did not apply; nothing of it was kept. The message says what to do."""


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    name: str
    applied_at: datetime | None


def up() -> list[str]:
    """Apply the pending migrations; returns their names. Adopts existing tables, drops nothing.

    Raises MigrationFailed where a statement was refused, or another migration holds the lock. The
    database is then unchanged.
    """
    if newer := unknown():
        raise MigrationFailed(
            f"the database is newer than this release (step {newer[-1]}): update this installation"
        )
    if not pending() and not _unfollowed():
        return []  # A role that may only read and write rows may check as well.
    _require_a_way_in()
    with _one_transaction() as runner:
        _require_utf8()
        _move_former_history(runner)
        names = list(runner.up())
        follow_dependencies(database)  # The table may be newer than our step.
        return names


def down() -> list[str]:
    """Undo the newest migration: removes only what it added, never other programs' rows.

    Undoing the first step also removes the history table, so that nothing of ours is left.
    """
    with _one_transaction() as runner:
        _move_former_history(runner)
        names = list(runner.down())
        if not runner.applied():
            runner.History.drop_table()
    return names


def status() -> list[MigrationStatus]:
    """Every migration in order, with the time it was applied (None: pending). Writes nothing."""
    with _reading_session():
        former = not columns_of(database, HISTORY_TABLE) and _former_history_is_ours()
        rows = _runner(FORMER_HISTORY_TABLE if former else HISTORY_TABLE).status()
    return [MigrationStatus(name=row.name, applied_at=row.applied) for row in rows if row.path]


def pending() -> list[str]:
    return [row.name for row in status() if row.applied_at is None]


def names() -> list[str]:
    """Every migration of this release, in order."""
    return [migration.name for migration in _runner().migrations()]


def unknown() -> list[str]:
    """Applied migrations that this release does not have, because a newer one made them."""
    with _reading_session():
        if not columns_of(database, HISTORY_TABLE):
            return []
        rows = database.execute_sql(f"SELECT name FROM {HISTORY_TABLE} ORDER BY name").fetchall()
    ours = names()
    return [name for (name,) in rows if name not in ours]


def _require_a_way_in() -> None:
    """Says what to do, where Postgres would only say what it refuses."""
    with _reading_session():
        for found in site.obstacles():
            raise MigrationFailed(f"{found.subject}: {found.meaning}")


def _unfollowed() -> bool:
    with _reading_session():
        return dependencies_unfollowed(database)


@contextmanager
def _reading_session() -> Iterator[None]:
    """A session that only reads; a time limit of the role does not cut it."""
    with session(), database.atomic():
        database.execute_sql("SET LOCAL statement_timeout = 0")
        yield


def _runner(history_table: str = HISTORY_TABLE) -> Runner:
    return Runner(database, str(DIRECTORY), table_name=history_table)


@contextmanager
def _one_transaction() -> Iterator[Runner]:
    """A transaction that holds the lock; time limits of the role do not cut it.

    All pending steps share it: a half-adopted database would be unusable.
    """
    try:
        with statement_limit(None), session(), database.atomic():
            database.execute_sql("SET LOCAL statement_timeout = 0")
            database.execute_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            database.execute_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT_SECONDS}s'")
            _lock()
            yield _runner()
    except (PlayhouseError, peewee.DatabaseError) as error:
        raise MigrationFailed(_reason(error)) from error


def _reason(error: Exception) -> str:
    """The first line, and the detail if there is one; never the hint, which may suggest CASCADE."""
    first, *more = str(error).strip().splitlines()
    details = [line.partition(":")[2].strip() for line in more if line.startswith("DETAIL:")]
    return "; ".join(filter(None, [first, *details, REMEDIES.get(sqlstate(error))]))


def _require_utf8() -> None:
    """Answers hold any character, and another encoding would refuse some of them later."""
    encoding = server.state().encoding
    if encoding != server.ENCODING:
        raise MigrationFailed(f"the database is {encoding}: {server.ENCODING_REMEDY}")


def _lock() -> None:
    """Taken by the transaction, not the session: a pooler may give the session to another
    client."""
    try:
        database.execute_sql("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
    except OperationalError as error:
        raise MigrationFailed(
            f"another migration has held the lock for {LOCK_WAIT_SECONDS} s; "
            "wait for it, then run `kos migrate up` again"
        ) from error


def _move_former_history(runner: Runner) -> None:
    """Remove our rows from the former history table, and the table if it is then empty."""
    if columns_of(database, HISTORY_TABLE) or not _former_history_is_ours():
        return
    runner.History.create_table()
    database.execute_sql(
        f"WITH moved AS (DELETE FROM {FORMER_HISTORY_TABLE} WHERE name = ANY(%s) "
        f"RETURNING name, applied) INSERT INTO {HISTORY_TABLE} (name, applied) "
        "SELECT name, applied FROM moved ORDER BY name",
        (names(),),
    )
    if not database.execute_sql(f"SELECT 1 FROM {FORMER_HISTORY_TABLE} LIMIT 1").fetchone():
        database.execute_sql(f"DROP TABLE {FORMER_HISTORY_TABLE}")


def _former_history_is_ours() -> bool:
    """Whether a table of that name has our columns and holds our first step."""
    if not {"name", "applied"} <= columns_of(database, FORMER_HISTORY_TABLE):
        return False
    found = database.execute_sql(
        f"SELECT 1 FROM {FORMER_HISTORY_TABLE} WHERE name = %s", (names()[0],)
    ).fetchone()
    return found is not None
