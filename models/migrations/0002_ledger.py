"""Attempts, blocks, decisions and dependencies: tables of ours."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

TABLES = """
CREATE TABLE IF NOT EXISTS kos_blocks (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  plan_id uuid NOT NULL,
  backend text NOT NULL,
  model text NOT NULL,
  num_ctx integer NOT NULL DEFAULT 0,
  heavy boolean NOT NULL DEFAULT false,
  lane_order integer NOT NULL,
  state text NOT NULL DEFAULT 'planned',
  task_ids uuid[] NOT NULL,
  next_index integer NOT NULL DEFAULT 0,
  policy text NOT NULL,
  reason text NOT NULL,
  routes jsonb NOT NULL DEFAULT '{}'::jsonb,
  urgent boolean NOT NULL DEFAULT false,
  needs_load boolean NOT NULL DEFAULT true,
  expected_load_seconds real NOT NULL DEFAULT 0,
  expected_start_seconds real NOT NULL DEFAULT 0,
  expected_finish_seconds real NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  finished_at timestamptz
);
CREATE INDEX IF NOT EXISTS kos_blocks_open ON kos_blocks (backend, lane_order)
  WHERE state IN ('planned', 'active');
CREATE INDEX IF NOT EXISTS kos_blocks_started ON kos_blocks (started_at DESC);

CREATE TABLE IF NOT EXISTS kos_attempts (
  id bigserial PRIMARY KEY,
  task_id uuid NOT NULL,
  number integer NOT NULL,
  epoch bigint NOT NULL,
  block_id uuid,
  backend text,
  model text,
  worker text,
  started_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz,
  wait_seconds real,
  load_seconds real,
  first_token_seconds real,
  duration_seconds real,
  prompt_tokens integer,
  completion_tokens integer,
  outcome text,
  verdict jsonb,
  error text,
  error_code text,
  UNIQUE (task_id, epoch)
);
CREATE INDEX IF NOT EXISTS kos_attempts_finished ON kos_attempts (finished_at DESC);
CREATE INDEX IF NOT EXISTS kos_attempts_model ON kos_attempts (backend, model, id DESC);
CREATE INDEX IF NOT EXISTS kos_attempts_open ON kos_attempts (task_id) WHERE outcome IS NULL;

CREATE TABLE IF NOT EXISTS kos_decisions (
  id bigserial PRIMARY KEY,
  task_id uuid NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  stage text NOT NULL,
  chosen text,
  reason text NOT NULL,
  rejected jsonb NOT NULL DEFAULT '[]'::jsonb
);
CREATE INDEX IF NOT EXISTS kos_decisions_task ON kos_decisions (task_id, id);
CREATE INDEX IF NOT EXISTS kos_decisions_at ON kos_decisions (at);

CREATE TABLE IF NOT EXISTS kos_dependencies (
  task_id uuid NOT NULL,
  depends_on_id uuid NOT NULL,
  PRIMARY KEY (task_id, depends_on_id)
);
CREATE INDEX IF NOT EXISTS kos_dependencies_reverse ON kos_dependencies (depends_on_id);
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(TABLES)


def down(migrator: SchemaMigrator, db: Database) -> None:
    for table in ("kos_dependencies", "kos_decisions", "kos_attempts", "kos_blocks"):
        db.execute_sql(f"DROP TABLE IF EXISTS {table}")
