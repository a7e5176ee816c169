"""A row that another program took over gets a new epoch, which fences the attempt that ran.

Another worker may set a row back and claim it while our call still runs. The row is in progress
again then, under the epoch of our claim, and our late answer would be written over their work.
"""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

FUNCTION = """
CREATE OR REPLACE FUNCTION kos_task_taken_over() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    PERFORM kos_close_attempt(OLD.id, OLD.epoch, 'taken over: another program deleted the task');
    RETURN OLD;
  END IF;
  PERFORM kos_close_attempt(OLD.id, OLD.epoch, 'taken over: another program set the task to '
    || coalesce(NEW.status, 'no status') || CASE WHEN NEW.epoch <> OLD.epoch
      THEN ' and its epoch to ' || NEW.epoch ELSE '' END);
  {fence}
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
FENCE = "NEW.epoch := CASE WHEN NEW.epoch = OLD.epoch THEN OLD.epoch + 1 ELSE NEW.epoch END;"


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(FUNCTION.format(fence=FENCE))


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(FUNCTION.format(fence=""))
