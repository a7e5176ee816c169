"""Indexes for lists that are filtered.

The index of the newest tasks holds what the usual filters look at. A walk over it, for an expert
that few tasks have, then reads no rows. Texts of any length have no place in an index, which holds
at most 2,700 bytes of a row: of a model's name it holds the beginning. Failures are found by their
code.
"""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

UP = """
CREATE INDEX IF NOT EXISTS kos_tasks_newest ON tasks (created_at DESC, id DESC)
  INCLUDE (status, assignee_expert_id);
CREATE INDEX IF NOT EXISTS kos_tasks_model ON tasks (left(model, 100), created_at DESC);
DROP INDEX IF EXISTS kos_tasks_created;
CREATE INDEX IF NOT EXISTS kos_attempts_codes
  ON kos_attempts ((coalesce(error_code, outcome)), finished_at DESC)
  INCLUDE (task_id, error_code, outcome) WHERE coalesce(error_code, outcome) <> 'completed';
"""
DOWN = """
CREATE INDEX IF NOT EXISTS kos_tasks_created ON tasks (created_at DESC);
DROP INDEX IF EXISTS kos_tasks_newest;
DROP INDEX IF EXISTS kos_tasks_model;
DROP INDEX IF EXISTS kos_attempts_codes;
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(UP)


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(DOWN)
