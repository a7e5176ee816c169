"""The last request and answer of each attempt, stored in its row."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

COLUMNS = """
ALTER TABLE kos_attempts
  ADD COLUMN IF NOT EXISTS messages jsonb,
  ADD COLUMN IF NOT EXISTS options jsonb,
  ADD COLUMN IF NOT EXISTS answer text,
  ADD COLUMN IF NOT EXISTS cached_prompt_tokens integer;
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(COLUMNS)


def down(migrator: SchemaMigrator, db: Database) -> None:
    for column in ("messages", "options", "answer", "cached_prompt_tokens"):
        db.execute_sql(f"ALTER TABLE kos_attempts DROP COLUMN IF EXISTS {column}")
