"""An index to find the reruns of a task: ``metadata.rerun_of`` names it."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(
        "CREATE INDEX IF NOT EXISTS kos_tasks_rerun_of "
        "ON tasks (left(metadata ->> 'rerun_of', 100)) "
        "WHERE metadata ->> 'rerun_of' IS NOT NULL"
    )


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("DROP INDEX IF EXISTS kos_tasks_rerun_of")
