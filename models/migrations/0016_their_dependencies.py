"""Reads the site's own dependencies and retry times.

``kos_dependencies`` stays the only table that is read. Triggers copy into it the rows of a
``task_dependencies (parent_task_id, child_task_id)`` and ``tasks.parent_task_id``: a child waits
for its parent. A view over all three would keep the site from altering its tables, and
``task_dependencies`` has no index for the child. ``metadata.next_retry_after`` becomes
``next_attempt_at``; a time without a zone is in that of the session that wrote it.
"""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

from models.migrations.adopt import columns_of, follow_dependencies, is_uuid

DEPENDENCIES = """
CREATE FUNCTION kos_follow_dependency() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    DELETE FROM kos_dependencies
    WHERE task_id = OLD.child_task_id AND depends_on_id = OLD.parent_task_id;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO kos_dependencies (task_id, depends_on_id)
    SELECT NEW.child_task_id, NEW.parent_task_id
    WHERE NEW.child_task_id IS NOT NULL AND NEW.parent_task_id IS NOT NULL ON CONFLICT DO NOTHING;
  END IF;
  RETURN NULL;
END $$;
"""
PARENTS = """
CREATE FUNCTION kos_follow_parent() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    DELETE FROM kos_dependencies WHERE task_id = OLD.id AND depends_on_id = OLD.parent_task_id;
  END IF;
  INSERT INTO kos_dependencies (task_id, depends_on_id)
  SELECT NEW.id, p.id FROM tasks p WHERE p.id = NEW.parent_task_id AND p.id <> NEW.id
  ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
CREATE TRIGGER kos_follow_parent_insert AFTER INSERT ON tasks
  FOR EACH ROW WHEN (NEW.parent_task_id IS NOT NULL) EXECUTE FUNCTION kos_follow_parent();
CREATE TRIGGER kos_follow_parent_update AFTER UPDATE OF parent_task_id ON tasks
  FOR EACH ROW WHEN (OLD.parent_task_id IS DISTINCT FROM NEW.parent_task_id)
  EXECUTE FUNCTION kos_follow_parent();
INSERT INTO kos_dependencies (task_id, depends_on_id)
SELECT t.id, p.id FROM tasks t JOIN tasks p ON p.id = t.parent_task_id
WHERE p.id <> t.id AND coalesce(t.status, 'pending') IN ('pending', 'queued', 'in_progress')
ON CONFLICT DO NOTHING;
"""

RETRY_AFTER = r"""
CREATE FUNCTION kos_retry_after(metadata jsonb) RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
DECLARE
  written text := CASE jsonb_typeof(metadata) WHEN 'object' THEN metadata->>'next_retry_after' END;
BEGIN
  IF written !~ '^\d{4}-\d\d-\d\d' THEN
    RETURN NULL;
  END IF;
  RETURN written::timestamptz;
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END $$;
CREATE FUNCTION kos_wait_as_written() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  moment timestamptz := kos_retry_after(NEW.metadata);
BEGIN
  IF NEW.status = 'pending' AND moment > now() THEN
    NEW.next_attempt_at := moment;
    PERFORM pg_notify('kos_alarm', '');
  ELSIF TG_OP = 'UPDATE' THEN
    IF NEW.next_attempt_at = kos_retry_after(OLD.metadata) THEN
      NEW.next_attempt_at := NULL;
      PERFORM pg_notify('kos_tasks', TG_OP);
    END IF;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER kos_wait_on_insert BEFORE INSERT ON tasks
  FOR EACH ROW WHEN (NEW.metadata->'next_retry_after' IS NOT NULL)
  EXECUTE FUNCTION kos_wait_as_written();
CREATE TRIGGER kos_wait_on_update BEFORE UPDATE OF status, metadata ON tasks
  FOR EACH ROW WHEN ((NEW.metadata->'next_retry_after' IS NOT NULL
      OR OLD.metadata->'next_retry_after' IS NOT NULL)
    AND left(current_setting('application_name'), 3) <> 'kos')
  EXECUTE FUNCTION kos_wait_as_written();
"""

# In the zone of the site, and past its triggers: they would give the rows a new ``updated_at``.
ROWS_THAT_WAIT = """
DO $$
DECLARE
  zone text := current_setting('TimeZone');
  theirs name;
  silenced name[] := ARRAY(SELECT tgname FROM pg_trigger
    WHERE tgrelid = 'tasks'::regclass AND NOT tgisinternal AND tgenabled = 'O');
BEGIN
  IF NOT EXISTS (SELECT FROM tasks WHERE status = 'pending'
      AND metadata->'next_retry_after' IS NOT NULL) THEN
    RETURN;
  END IF;
  FOREACH theirs IN ARRAY silenced LOOP
    EXECUTE format('ALTER TABLE tasks DISABLE TRIGGER %%I', theirs);
  END LOOP;
  PERFORM set_config('TimeZone', reset_val, true) FROM pg_settings WHERE name = 'TimeZone';
  UPDATE tasks SET next_attempt_at = kos_retry_after(metadata)
  WHERE status = 'pending' AND next_attempt_at IS NULL AND kos_retry_after(metadata) > now();
  PERFORM set_config('TimeZone', zone, true);
  FOREACH theirs IN ARRAY silenced LOOP
    EXECUTE format('ALTER TABLE tasks ENABLE TRIGGER %%I', theirs);
  END LOOP;
END $$;
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(DEPENDENCIES)
    if is_uuid(db, "tasks", "parent_task_id"):
        db.execute_sql(PARENTS)
    db.execute_sql(RETRY_AFTER)
    db.execute_sql(ROWS_THAT_WAIT)
    follow_dependencies(db)


def down(migrator: SchemaMigrator, db: Database) -> None:
    for trigger in ("parent_insert", "parent_update"):
        db.execute_sql(f"DROP TRIGGER IF EXISTS kos_follow_{trigger} ON tasks")
    for trigger in ("insert", "update"):
        db.execute_sql(f"DROP TRIGGER IF EXISTS kos_wait_on_{trigger} ON tasks")
    if columns_of(db, "task_dependencies"):
        db.execute_sql("DROP TRIGGER IF EXISTS kos_follow_dependency ON task_dependencies")
    for function in ("follow_dependency()", "follow_parent()", "wait_as_written()",
                     "retry_after(jsonb)"):  # fmt: skip
        db.execute_sql(f"DROP FUNCTION IF EXISTS kos_{function}")
