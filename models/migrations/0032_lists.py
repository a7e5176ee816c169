"""Indexes for lists that are filtered.

The index of the newest tasks holds what the usual filters look at. A walk over it, for a model or
an expert that few tasks have, then reads no rows. Failures are found by their code.
"""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

UP = """
CREATE INDEX IF NOT EXISTS kos_tasks_newest ON tasks (created_at DESC, id DESC)
  INCLUDE (status, backend, model, category, assignee_expert_id, priority);
DROP INDEX IF EXISTS kos_tasks_created;
CREATE INDEX IF NOT EXISTS kos_attempts_codes
  ON kos_attempts ((coalesce(error_code, outcome)), finished_at DESC)
  INCLUDE (task_id, error_code, outcome) WHERE coalesce(error_code, outcome) <> 'completed';
"""
DOWN = """
CREATE INDEX IF NOT EXISTS kos_tasks_created ON tasks (created_at DESC);
DROP INDEX IF EXISTS kos_tasks_newest;
DROP INDEX IF EXISTS kos_attempts_codes;
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(UP)


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(DOWN)
