"""Reads rows without an expert most urgent first, and makes the order accept any time.

A time near the end of Postgres's calendar could be stored, but not shifted by a step of priority:
the statement that assigned its row failed, and with it the whole page.
"""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

STEPS = """
    - (CASE priority WHEN 'urgent' THEN 45 WHEN 'high' THEN 30 WHEN 'low' THEN 0 ELSE 15 END)
      * interval '1 minute'
"""
ORDER = f"""
CREATE OR REPLACE FUNCTION kos_priority_rank(priority text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE priority WHEN 'urgent' THEN 0 WHEN 'high' THEN 1 WHEN 'low' THEN 3 ELSE 2 END
$$;
CREATE OR REPLACE FUNCTION kos_plan_order(priority text, created timestamptz) RETURNS timestamp
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT greatest('0002-01-01', coalesce(created, '2000-01-01 00:00:00+00') AT TIME ZONE 'UTC')
  {STEPS}
$$;
CREATE OR REPLACE FUNCTION kos_plan_order(priority text, created timestamp) RETURNS timestamp
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT greatest('0002-01-01', coalesce(created, '2000-01-01 00:00:00'))
  {STEPS}
$$;
"""
INDEXES = """
DROP INDEX IF EXISTS kos_tasks_unassigned;
CREATE INDEX kos_tasks_unassigned ON tasks (kos_priority_rank(priority::text), created_at)
  WHERE status = 'pending' AND assignee_expert_id IS NULL;
CREATE INDEX kos_tasks_urgent ON tasks (created_at)
  WHERE status = 'pending' AND assignee_expert_id IS NOT NULL AND priority = 'urgent';
DROP INDEX IF EXISTS kos_tasks_unclassified;
CREATE INDEX kos_tasks_unclassified ON tasks (kos_priority_rank(priority::text), created_at)
  WHERE status = 'pending' AND assignee_expert_id IS NOT NULL AND complexity IS NULL;
REINDEX INDEX kos_tasks_backlog;
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(ORDER)
    db.execute_sql(INDEXES)


def down(migrator: SchemaMigrator, db: Database) -> None:
    for index in ("kos_tasks_unassigned", "kos_tasks_unclassified", "kos_tasks_urgent"):
        db.execute_sql(f"DROP INDEX IF EXISTS {index}")
    db.execute_sql("DROP FUNCTION IF EXISTS kos_priority_rank(text)")
