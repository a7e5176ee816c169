"""An index on the age of blocks, for finding the newest plan and for pruning."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

from models.migrations.adopt import table_exists


def up(migrator: SchemaMigrator, db: Database) -> None:
    table = "kos_blocks" if table_exists(db, "kos_blocks") else "blocks"  # until step 0007
    # A plan that replaces another now deletes the blocks that had not begun.
    db.execute_sql(f"DELETE FROM {table} WHERE state = 'superseded'")
    db.execute_sql(f"CREATE INDEX IF NOT EXISTS kos_blocks_created ON {table} (created_at)")


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("DROP INDEX IF EXISTS kos_blocks_created")
