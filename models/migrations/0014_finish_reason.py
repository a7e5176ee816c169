"""How the answer of an attempt ended: ``stop`` or ``length``."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("ALTER TABLE kos_attempts ADD COLUMN IF NOT EXISTS finish_reason text")


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("ALTER TABLE kos_attempts DROP COLUMN IF EXISTS finish_reason")
