"""Prefill and decode as the server reported them, for the split of an attempt's time."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

COLUMNS = ("prefill_seconds", "decode_seconds")


def up(migrator: SchemaMigrator, db: Database) -> None:
    for name in COLUMNS:
        db.execute_sql(f"ALTER TABLE kos_attempts ADD COLUMN IF NOT EXISTS {name} real")


def down(migrator: SchemaMigrator, db: Database) -> None:
    for name in COLUMNS:
        db.execute_sql(f"ALTER TABLE kos_attempts DROP COLUMN IF EXISTS {name}")
