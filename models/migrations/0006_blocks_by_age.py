"""An index on the age of blocks: which plan is the newest, and which blocks are to be pruned."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, db: Database) -> None:
    # A plan that replaces another now deletes the blocks that had not begun.
    db.execute_sql("DELETE FROM blocks WHERE state = 'superseded'")
    db.execute_sql("CREATE INDEX IF NOT EXISTS kos_blocks_created ON blocks (created_at)")


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("DROP INDEX IF EXISTS kos_blocks_created")
