"""Inserts by any program wake the listener; nulls in them get their defaults.

Updates by our own processes (application name ``kos...``) do not notify: they request a plan
themselves.
"""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

from models.migrations.adopt import has_row_trigger_before_update

FUNCTIONS = """
CREATE OR REPLACE FUNCTION kos_fill_task() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.id := coalesce(NEW.id, gen_random_uuid());
  NEW.status := coalesce(NEW.status, 'pending');
  NEW.priority := coalesce(NEW.priority, 'medium');
  NEW.metadata := coalesce(NEW.metadata, '{}'::jsonb);
  NEW.created_at := coalesce(NEW.created_at, now());
  NEW.updated_at := coalesce(NEW.updated_at, now());
  RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION kos_notify_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('kos_tasks', TG_OP);
  RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION kos_notify_alarm() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('kos_alarm', '');
  RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION kos_touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END $$;
"""

TRIGGERS = """
CREATE TRIGGER kos_fill_task BEFORE INSERT ON tasks
  FOR EACH ROW EXECUTE FUNCTION kos_fill_task();
CREATE TRIGGER kos_notify_insert AFTER INSERT ON tasks
  FOR EACH STATEMENT EXECUTE FUNCTION kos_notify_tasks();
CREATE TRIGGER kos_notify_pending AFTER UPDATE OF status, assignee_expert_id ON tasks
  FOR EACH ROW WHEN (NEW.status = 'pending' AND NEW.next_attempt_at IS NULL
    AND left(current_setting('application_name'), 3) <> 'kos'
    AND (OLD.status IS DISTINCT FROM NEW.status
         OR OLD.assignee_expert_id IS DISTINCT FROM NEW.assignee_expert_id))
  EXECUTE FUNCTION kos_notify_tasks();
CREATE TRIGGER kos_notify_alarm AFTER UPDATE OF next_attempt_at ON tasks
  FOR EACH ROW WHEN (NEW.status = 'pending' AND NEW.next_attempt_at IS NOT NULL
    AND OLD.next_attempt_at IS DISTINCT FROM NEW.next_attempt_at)
  EXECUTE FUNCTION kos_notify_alarm();
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(FUNCTIONS)
    theirs = has_row_trigger_before_update(db, "tasks")
    db.execute_sql(TRIGGERS)
    if not theirs:
        db.execute_sql(
            "CREATE TRIGGER kos_touch_updated_at BEFORE UPDATE ON tasks "
            "FOR EACH ROW EXECUTE FUNCTION kos_touch_updated_at()"
        )


def down(migrator: SchemaMigrator, db: Database) -> None:
    triggers = (
        "kos_fill_task",
        "kos_notify_insert",
        "kos_notify_pending",
        "kos_notify_alarm",
        "kos_touch_updated_at",
    )
    for name in triggers:
        db.execute_sql(f"DROP TRIGGER IF EXISTS {name} ON tasks")
    for function in (
        "kos_fill_task",
        "kos_notify_tasks",
        "kos_notify_alarm",
        "kos_touch_updated_at",
    ):
        db.execute_sql(f"DROP FUNCTION IF EXISTS {function}()")
