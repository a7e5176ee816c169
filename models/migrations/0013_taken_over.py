"""Closes an attempt when another program ends, resets or deletes its row.

The other program's own statement does it by trigger, so that no reader sees a completed task with a
lease or a running attempt. The functions run with the rights of their owner, because the other
program's role may have none on our tables.
"""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

FUNCTIONS = """
CREATE FUNCTION kos_close_attempt(task uuid, at_epoch bigint, reason text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
  WITH closed AS (
    UPDATE kos_attempts SET outcome = 'taken_over', finished_at = now(), error = reason,
      error_code = 'taken_over', duration_seconds = extract(epoch FROM now() - started_at)
    WHERE task_id = task AND epoch = at_epoch AND outcome IS NULL RETURNING task_id
  )
  INSERT INTO kos_decisions (task_id, stage, chosen, reason)
  SELECT task_id, 'retry', NULL, reason FROM closed
$$;
CREATE FUNCTION kos_task_taken_over() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    PERFORM kos_close_attempt(OLD.id, OLD.epoch, 'taken over: another program deleted the task');
    RETURN OLD;
  END IF;
  PERFORM kos_close_attempt(OLD.id, OLD.epoch, 'taken over: another program set the task to '
    || coalesce(NEW.status, 'no status') || CASE WHEN NEW.epoch <> OLD.epoch
      THEN ' and its epoch to ' || NEW.epoch ELSE '' END);
  NEW.lease_owner := NULL;
  NEW.lease_expires_at := NULL;
  NEW.queued_at := NULL;
  NEW.progress := NULL;
  IF NEW.status IN ('completed', 'failed', 'cancelled')
    AND NEW.completed_at IS NOT DISTINCT FROM OLD.completed_at THEN
    NEW.completed_at := now();
  END IF;
  RETURN NEW;
END $$;
"""

TRIGGERS = """
CREATE TRIGGER kos_task_taken_over BEFORE UPDATE OF status, epoch ON tasks
  FOR EACH ROW WHEN (OLD.status IN ('queued', 'in_progress')
    AND left(current_setting('application_name'), 3) <> 'kos'
    AND (OLD.status IS DISTINCT FROM NEW.status OR OLD.epoch IS DISTINCT FROM NEW.epoch))
  EXECUTE FUNCTION kos_task_taken_over();
CREATE TRIGGER kos_task_deleted BEFORE DELETE ON tasks
  FOR EACH ROW WHEN (OLD.status = 'in_progress'
    AND left(current_setting('application_name'), 3) <> 'kos')
  EXECUTE FUNCTION kos_task_taken_over();
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(FUNCTIONS)
    db.execute_sql(TRIGGERS)


def down(migrator: SchemaMigrator, db: Database) -> None:
    for trigger in ("kos_task_taken_over", "kos_task_deleted"):
        db.execute_sql(f"DROP TRIGGER IF EXISTS {trigger} ON tasks")
    db.execute_sql("DROP FUNCTION IF EXISTS kos_task_taken_over()")
    db.execute_sql("DROP FUNCTION IF EXISTS kos_close_attempt(uuid, bigint, text)")
