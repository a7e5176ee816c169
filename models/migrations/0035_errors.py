"""An index of the tasks that have an error, so that a search in errors reads no other task."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(
        "CREATE INDEX IF NOT EXISTS kos_tasks_errors ON tasks (created_at DESC, id DESC) "
        "WHERE last_error IS NOT NULL"
    )


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("DROP INDEX IF EXISTS kos_tasks_errors")
