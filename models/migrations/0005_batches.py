"""Files and batches received over HTTP, and an index for counting the backlog."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

TABLES = """
CREATE TABLE IF NOT EXISTS kos_files (
  id text PRIMARY KEY,
  filename text NOT NULL,
  purpose text NOT NULL,
  bytes bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS kos_batches (
  id text PRIMARY KEY,
  input_file_id text NOT NULL,
  endpoint text NOT NULL,
  completion_window text NOT NULL,
  status text NOT NULL DEFAULT 'validating',
  total integer NOT NULL DEFAULT 0,
  completed integer NOT NULL DEFAULT 0,
  failed integer NOT NULL DEFAULT 0,
  metadata jsonb,
  errors jsonb,
  output_file_id text,
  error_file_id text,
  created_at timestamptz NOT NULL DEFAULT now(),
  in_progress_at timestamptz,
  finalizing_at timestamptz,
  completed_at timestamptz,
  failed_at timestamptz,
  cancelling_at timestamptz,
  cancelled_at timestamptz
);
CREATE INDEX IF NOT EXISTS kos_batches_created ON kos_batches (created_at DESC);
CREATE INDEX IF NOT EXISTS kos_batches_open ON kos_batches (created_at)
  WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling');

CREATE TABLE IF NOT EXISTS kos_batch_lines (
  batch_id text NOT NULL,
  line integer NOT NULL,
  custom_id text,
  task_id uuid,
  error jsonb,
  PRIMARY KEY (batch_id, line)
);
CREATE INDEX IF NOT EXISTS kos_batch_lines_task ON kos_batch_lines (task_id);
"""

GROUPS = """
CREATE INDEX IF NOT EXISTS kos_tasks_pending_groups
  ON tasks (left(coalesce(category::text, ''), 100), priority, created_at)
  WHERE status = 'pending'
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(TABLES)
    db.execute_sql(GROUPS)


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("DROP INDEX IF EXISTS kos_tasks_pending_groups")
    for table in ("kos_batch_lines", "kos_batches", "kos_files"):
        db.execute_sql(f"DROP TABLE IF EXISTS {table}")
