"""Feedback on an answer: a thumb and a note, and who gave the answer at that time."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

TABLE = """
CREATE TABLE IF NOT EXISTS kos_feedback (
  task_id uuid PRIMARY KEY,
  thumb smallint NOT NULL CHECK (thumb IN (-1, 1)),
  note text NOT NULL DEFAULT '',
  expert text,
  backend text,
  model text,
  given_at timestamptz NOT NULL DEFAULT now()
);
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(TABLE)


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("DROP TABLE IF EXISTS kos_feedback")
