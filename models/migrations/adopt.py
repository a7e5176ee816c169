"""Helpers that migrations share: add what is missing, record what we added, change nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from peewee import Database
from playhouse.migrations import MigrationError

from models.migrations.shared_tables import require_fitting

OURS = "added by Knowledge OS Jobs"


def table_exists(db: Database, table: str) -> bool:
    return db.execute_sql("SELECT to_regclass(%s)", (table,)).fetchone()[0] is not None


def columns_of(db: Database, table: str) -> set[str]:
    """The names of its columns; none where the table does not exist."""
    rows = db.execute_sql(
        "SELECT attname FROM pg_attribute "
        "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
        (table,),
    ).fetchall()
    return {row[0] for row in rows}


def create_or_adopt(db: Database, table: str, columns: Mapping[str, str]) -> None:
    """Create ``table`` with ``columns`` (name -> SQL type and default), or add those it lacks."""
    if table_exists(db, table):
        require_uuid_id(db, table)
        require_fitting(db, table, columns)
        _add_missing(db, table, columns)
        return
    body = ", ".join(f"{name} {definition}" for name, definition in columns.items())
    db.execute_sql(f"CREATE TABLE {table} ({body})")
    db.execute_sql(f"COMMENT ON TABLE {table} IS '{OURS}'")


def has_row_trigger_before_update(db: Database, table: str) -> bool:
    row = db.execute_sql(
        "SELECT 1 FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal "
        "AND (tgtype & 1) = 1 AND (tgtype & 2) = 2 AND (tgtype & 16) = 16",
        (table,),
    ).fetchone()
    return row is not None


def require_states_allowed(db: Database, table: str, column: str, states: tuple[str, ...]) -> None:
    """Refuse an adopted table whose CHECK forbids a state that we must write.

    Raises:
        MigrationError: names the constraint and the statement that widens it.
    """
    rows = db.execute_sql(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = %s::regclass AND contype = 'c'",
        (table,),
    ).fetchall()
    for name, definition in rows:
        missing = [state for state in states if f"'{state}'" not in definition]
        speaks_of_states = f"({column})" in definition.replace("::text", "")
        if speaks_of_states and "'pending'" in definition and missing:
            allowed = ", ".join(f"'{state}'" for state in states)
            raise MigrationError(
                f"constraint {name} of table {table} forbids {', '.join(missing)}: run "
                f"ALTER TABLE {table} DROP CONSTRAINT {name}, "
                f"ADD CONSTRAINT {name} CHECK ({column} IN ({allowed}))"
            )


def take_back(db: Database, table: str) -> None:
    """Undo :func:`create_or_adopt`: drop the columns we added, or the table if we created it and it
    is empty."""
    if not table_exists(db, table):
        return
    if _comment(db, table) != OURS:
        for column in _columns_of_ours(db, table):
            db.execute_sql(f"ALTER TABLE {table} DROP COLUMN IF EXISTS {column}")
        return
    count = db.execute_sql(f"SELECT count(*) FROM {table}").fetchone()[0]
    if count:
        raise MigrationError(
            f"table {table} holds {count} rows: "
            "export them (kos export > tasks.jsonl), delete them, then run this again"
        )
    db.execute_sql(f"DROP TABLE {table}")


def follow_dependencies(db: Database) -> bool:
    """Copy ``task_dependencies (parent_task_id, child_task_id)`` of the site from now on.

    Returns whether there was something to do: the table has that shape and was not yet followed.
    """
    if not dependencies_unfollowed(db):
        return False
    db.execute_sql(
        "CREATE TRIGGER kos_follow_dependency AFTER INSERT OR UPDATE OR DELETE "
        "ON task_dependencies FOR EACH ROW EXECUTE FUNCTION kos_follow_dependency()"
    )
    db.execute_sql(
        "INSERT INTO kos_dependencies (task_id, depends_on_id) "
        "SELECT child_task_id, parent_task_id FROM task_dependencies "
        "WHERE child_task_id IS NOT NULL AND parent_task_id IS NOT NULL ON CONFLICT DO NOTHING"
    )
    return True


def dependencies_unfollowed(db: Database) -> bool:
    """Whether the site has a ``task_dependencies`` of that shape that we do not follow yet."""
    if not all(
        is_uuid(db, "task_dependencies", side) for side in ("parent_task_id", "child_task_id")
    ):
        return False
    followed = db.execute_sql(
        "SELECT 1 FROM pg_trigger WHERE tgrelid = 'task_dependencies'::regclass "
        "AND tgname = 'kos_follow_dependency'"
    ).fetchone()
    return followed is None


def is_uuid(db: Database, table: str, column: str) -> bool:
    """Whether there is such a column, of that type."""
    row = db.execute_sql(
        "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = %s "
        "AND NOT attisdropped AND atttypid = 'uuid'::regtype",
        (table, column),
    ).fetchone()
    return row is not None


def require_uuid_id(db: Database, table: str) -> None:
    """Raises MigrationError where the table has no ``id`` of that type."""
    row = db.execute_sql(
        "SELECT format_type(atttypid, NULL) FROM pg_attribute "
        "WHERE attrelid = %s::regclass AND attname = 'id' AND NOT attisdropped",
        (table,),
    ).fetchone()
    if row is None or row[0] != "uuid":
        found = row[0] if row else "no such column"
        raise MigrationError(f"table {table} needs a uuid column id, found: {found}")


def _add_missing(db: Database, table: str, columns: Mapping[str, str]) -> None:
    present = columns_of(db, table)
    for name, definition in columns.items():
        if name not in present:
            db.execute_sql(f"ALTER TABLE {table} ADD COLUMN {name} {definition}")
            db.execute_sql(f"COMMENT ON COLUMN {table}.{name} IS '{OURS}'")


def _comment(db: Database, table: str) -> str | None:
    row = db.execute_sql("SELECT obj_description(%s::regclass, 'pg_class')", (table,)).fetchone()
    return row[0] if row else None


def _columns_of_ours(db: Database, table: str) -> list[str]:
    rows = db.execute_sql(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 "
        "AND NOT attisdropped AND col_description(attrelid, attnum) = %s",
        (table, OURS),
    ).fetchall()
    return [row[0] for row in rows]
