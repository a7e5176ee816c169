"""A block holds the group of each of its tasks, where a freed slot chooses by the beginnings of
their prompts."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(
        "ALTER TABLE kos_blocks ADD COLUMN IF NOT EXISTS groups bigint[] NOT NULL DEFAULT '{}'"
    )


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("ALTER TABLE kos_blocks DROP COLUMN IF EXISTS groups")
