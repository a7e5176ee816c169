"""Tasks that ran when a worker died: ``suspect``, then ``alone`` while they run by themselves."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("ALTER TABLE tasks ADD COLUMN IF NOT EXISTS suspicion text")


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("ALTER TABLE tasks DROP COLUMN IF EXISTS suspicion")
