"""Finds the tasks whose files were uploaded: ``metadata.upload`` names their directory."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(
        "CREATE INDEX IF NOT EXISTS kos_tasks_upload "
        "ON tasks (left(metadata ->> 'upload', 100)) "
        "WHERE metadata ->> 'upload' IS NOT NULL"
    )


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("DROP INDEX IF EXISTS kos_tasks_upload")
