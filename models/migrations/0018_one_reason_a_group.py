"""A block stores one reason for each group of its tasks, and each task's group.

One reason per task made a plan of two thousand rows write and read megabytes.
"""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(
        "ALTER TABLE kos_blocks ADD COLUMN IF NOT EXISTS route_of integer[] NOT NULL DEFAULT '{}', "
        "ALTER COLUMN routes SET DEFAULT '[]'::jsonb"
    )


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(
        "ALTER TABLE kos_blocks DROP COLUMN IF EXISTS route_of, "
        "ALTER COLUMN routes SET DEFAULT '{}'::jsonb"
    )
