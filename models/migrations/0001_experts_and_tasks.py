"""Experts and tasks: created on an empty database, adopted where they already stand."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

from models.migrations.adopt import create_or_adopt, require_states_allowed, take_back
from models.migrations.shared_tables import EXPERTS, TASKS
from models.states import TaskState

# The order of the backlog: a step of priority is worth fifteen minutes of waiting, so that
# nothing waits for ever. Declared immutable to be indexed; both overloads are, because the
# one cast that depends on the session (timestamp to timestamptz) is left out.
PLAN_ORDER = """
CREATE OR REPLACE FUNCTION kos_plan_order(priority text, created timestamptz) RETURNS timestamp
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT (coalesce(created, '2000-01-01 00:00:00+00') AT TIME ZONE 'UTC')
    - (CASE priority WHEN 'urgent' THEN 45 WHEN 'high' THEN 30 WHEN 'low' THEN 0 ELSE 15 END)
      * interval '1 minute'
$$;
CREATE OR REPLACE FUNCTION kos_plan_order(priority text, created timestamp) RETURNS timestamp
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT coalesce(created, '2000-01-01 00:00:00')
    - (CASE priority WHEN 'urgent' THEN 45 WHEN 'high' THEN 30 WHEN 'low' THEN 0 ELSE 15 END)
      * interval '1 minute'
$$;
"""

INDEXES = """
CREATE INDEX IF NOT EXISTS kos_tasks_backlog ON tasks (kos_plan_order(priority::text, created_at))
  WHERE status = 'pending' AND assignee_expert_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS kos_tasks_unassigned ON tasks (created_at)
  WHERE status = 'pending' AND assignee_expert_id IS NULL;
CREATE INDEX IF NOT EXISTS kos_tasks_unclassified ON tasks (created_at)
  WHERE status = 'pending' AND assignee_expert_id IS NOT NULL AND complexity IS NULL;
CREATE INDEX IF NOT EXISTS kos_tasks_waiting ON tasks (next_attempt_at)
  WHERE status = 'pending' AND next_attempt_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS kos_tasks_live ON tasks (status, lease_expires_at)
  WHERE status IN ('queued', 'in_progress');
CREATE INDEX IF NOT EXISTS kos_tasks_status_created ON tasks (status, created_at DESC);
CREATE INDEX IF NOT EXISTS kos_tasks_created ON tasks (created_at DESC);
CREATE INDEX IF NOT EXISTS kos_tasks_expert_open ON tasks (assignee_expert_id)
  WHERE status IN ('pending', 'queued', 'in_progress');
CREATE UNIQUE INDEX IF NOT EXISTS kos_tasks_idempotency ON tasks (idempotency_key)
  WHERE idempotency_key IS NOT NULL;
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    create_or_adopt(db, "experts", EXPERTS)
    create_or_adopt(db, "tasks", TASKS)
    require_states_allowed(db, "tasks", "status", tuple(TaskState))
    db.execute_sql(PLAN_ORDER)
    db.execute_sql(INDEXES)


def down(migrator: SchemaMigrator, db: Database) -> None:
    for name in (
        "kos_tasks_backlog",
        "kos_tasks_unassigned",
        "kos_tasks_unclassified",
        "kos_tasks_waiting",
        "kos_tasks_live",
        "kos_tasks_status_created",
        "kos_tasks_created",
        "kos_tasks_expert_open",
        "kos_tasks_idempotency",
    ):
        db.execute_sql(f"DROP INDEX IF EXISTS {name}")
    take_back(db, "tasks")
    take_back(db, "experts")
    db.execute_sql("DROP FUNCTION IF EXISTS kos_plan_order(text, timestamptz)")
    db.execute_sql("DROP FUNCTION IF EXISTS kos_plan_order(text, timestamp)")
