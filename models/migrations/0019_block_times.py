"""What a plan expects of a block's tasks, so that every forecast comes from the plan."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

COLUMNS = {
    "drains": "boolean NOT NULL DEFAULT true",
    "task_seconds": "double precision NOT NULL DEFAULT 0",
    "task_variation": "double precision NOT NULL DEFAULT 0.5",
    "slots": "integer NOT NULL DEFAULT 1",
}


def up(migrator: SchemaMigrator, db: Database) -> None:
    for name, kind in COLUMNS.items():
        db.execute_sql(f"ALTER TABLE kos_blocks ADD COLUMN IF NOT EXISTS {name} {kind}")


def down(migrator: SchemaMigrator, db: Database) -> None:
    for name in COLUMNS:
        db.execute_sql(f"ALTER TABLE kos_blocks DROP COLUMN IF EXISTS {name}")
