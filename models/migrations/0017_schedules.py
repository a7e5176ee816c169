"""Templates of tasks, schedules of recurring work, and the result of each due time.

The primary key of ``kos_schedule_runs`` ensures that each due time is handled once, by any number
of schedulers.
"""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

TABLES = """
CREATE TABLE IF NOT EXISTS kos_templates (
  name text PRIMARY KEY,
  line jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS kos_schedules (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name text UNIQUE NOT NULL,
  cron text NOT NULL,
  zone text NOT NULL,
  template text REFERENCES kos_templates (name),
  line jsonb NOT NULL,
  variables jsonb NOT NULL DEFAULT '{}',
  catch_up boolean NOT NULL DEFAULT false,
  keep integer NOT NULL CHECK (keep > 0),
  paused boolean NOT NULL DEFAULT false,
  handled_until timestamptz NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS kos_schedule_runs (
  schedule_id uuid NOT NULL REFERENCES kos_schedules (id) ON DELETE CASCADE,
  due_at timestamptz NOT NULL,
  outcome text NOT NULL,
  passed integer NOT NULL DEFAULT 0,
  task_id uuid,
  problem text,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (schedule_id, due_at)
);
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(TABLES)


def down(migrator: SchemaMigrator, db: Database) -> None:
    for table in ("kos_schedule_runs", "kos_schedules", "kos_templates"):
        db.execute_sql(f"DROP TABLE IF EXISTS {table}")
