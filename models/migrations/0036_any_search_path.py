"""Our triggers fire in sessions of any search_path: a program may write the name of the schema."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

FUNCTIONS = ("kos_task_taken_over", "kos_wait_as_written")
"""Those that call a function of ours with the rights of the writer."""


def up(migrator: SchemaMigrator, db: Database) -> None:
    for function in FUNCTIONS:
        db.execute_sql(f"ALTER FUNCTION {function}() SET search_path FROM CURRENT")


def down(migrator: SchemaMigrator, db: Database) -> None:
    for function in FUNCTIONS:
        db.execute_sql(f"ALTER FUNCTION {function}() RESET search_path")
