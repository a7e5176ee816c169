"""Keeps counts of tasks, so that a page or a plan costs the same for a thousand rows as for a
million.

Statement-level triggers append the changes of a statement to ``kos_count_changes``. An append never
waits; a counter row would make every claim wait for the commit of the last writer, and for open
transactions of other programs. The planner folds the changes into ``kos_counts`` about once a
second; a reader adds both. Changes that bypassed the triggers (disabled triggers, replication) are
corrected by an hourly recount.

Kinds: ``status`` (name: the status; queued and running rows are few and counted directly),
``pending`` (category; part: priority), ``expert`` (id; part: open, completed or failed) and
``revision`` (``experts``: grows with every statement that changed one).

Recovery finds rows with a requested cancel by an index of their own.
"""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

TABLES = """
CREATE TABLE kos_counts (
  kind text NOT NULL,
  name text NOT NULL,
  part text NOT NULL DEFAULT '',
  n bigint NOT NULL,
  PRIMARY KEY (kind, name, part)
) WITH (fillfactor = 50);
CREATE TABLE kos_count_changes (
  kind text NOT NULL,
  name text NOT NULL,
  part text NOT NULL DEFAULT '',
  n bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
"""

# With the rights of the owner: the role that writes a task may have none on our tables.
FUNCTIONS = """
CREATE FUNCTION kos_counted(status text, category text, priority text, expert text)
RETURNS TABLE (kind text, name text, part text)
LANGUAGE sql IMMUTABLE AS $$
  SELECT 'status', left(coalesce(status, 'pending'), 100), ''
    WHERE coalesce(status, '') NOT IN ('queued', 'in_progress')
  UNION ALL SELECT 'pending', left(coalesce(category, ''), 100),
      left(coalesce(priority, 'medium'), 100) WHERE status = 'pending'
  UNION ALL SELECT 'expert', expert,
      CASE WHEN status IN ('completed', 'failed') THEN status ELSE 'open' END
    WHERE expert IS NOT NULL
      AND status IN ('pending', 'queued', 'in_progress', 'completed', 'failed')
$$;
CREATE FUNCTION kos_count_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO kos_count_changes (kind, name, part, n)
  SELECT line.kind, line.name, line.part,
    CASE TG_OP WHEN 'INSERT' THEN sum(c.n) ELSE -sum(c.n) END FROM (
    SELECT t.status::text AS status, t.category::text AS category, t.priority::text AS priority,
      t.assignee_expert_id::text AS expert, count(*) AS n FROM changed t GROUP BY 1, 2, 3, 4) c,
    kos_counted(c.status, c.category, c.priority, c.expert) line
  GROUP BY 1, 2, 3;
  RETURN NULL;
END $$;
CREATE FUNCTION kos_count_moved() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO kos_count_changes (kind, name, part, n)
  SELECT line.kind, line.name, line.part, sum(m.n) FROM (
    SELECT t.status::text AS status, t.category::text AS category, t.priority::text AS priority,
      t.assignee_expert_id::text AS expert, sum(t.n) AS n
    FROM (SELECT status, category, priority, assignee_expert_id, 1 AS n FROM added
      UNION ALL SELECT status, category, priority, assignee_expert_id, -1 FROM removed) t
    GROUP BY 1, 2, 3, 4 HAVING sum(t.n) <> 0) m,
    kos_counted(m.status, m.category, m.priority, m.expert) line
  GROUP BY 1, 2, 3 HAVING sum(m.n) <> 0;
  RETURN NULL;
END $$;
CREATE FUNCTION kos_count_none() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  DELETE FROM kos_counts WHERE kind <> 'revision';
  DELETE FROM kos_count_changes WHERE kind <> 'revision';
  RETURN NULL;
END $$;
CREATE FUNCTION kos_count_experts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO kos_count_changes (kind, name, n) VALUES ('revision', 'experts', 1);
  RETURN NULL;
END $$;
"""

TRIGGERS = """
CREATE TRIGGER kos_count_added AFTER INSERT ON tasks REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION kos_count_changed();
CREATE TRIGGER kos_count_moved AFTER UPDATE ON tasks
  REFERENCING NEW TABLE AS added OLD TABLE AS removed
  FOR EACH STATEMENT EXECUTE FUNCTION kos_count_moved();
CREATE TRIGGER kos_count_removed AFTER DELETE ON tasks REFERENCING OLD TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION kos_count_changed();
CREATE TRIGGER kos_count_none AFTER TRUNCATE ON tasks
  FOR EACH STATEMENT EXECUTE FUNCTION kos_count_none();
CREATE TRIGGER kos_count_experts AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON experts
  FOR EACH STATEMENT EXECUTE FUNCTION kos_count_experts();
"""

CANCELS = """
CREATE INDEX kos_tasks_cancels ON tasks (cancel_requested_at)
  WHERE cancel_requested_at IS NOT NULL AND status IN ('pending', 'queued', 'in_progress')
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(TABLES)
    db.execute_sql(FUNCTIONS)
    db.execute_sql(TRIGGERS)  # a later step, which counts more, recounts
    db.execute_sql(CANCELS)


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("DROP INDEX IF EXISTS kos_tasks_cancels")
    for name in ("added", "moved", "removed", "none"):
        db.execute_sql(f"DROP TRIGGER IF EXISTS kos_count_{name} ON tasks")
    db.execute_sql("DROP TRIGGER IF EXISTS kos_count_experts ON experts")
    for name in ("changed", "moved", "none", "experts"):
        db.execute_sql(f"DROP FUNCTION IF EXISTS kos_count_{name}()")
    db.execute_sql("DROP FUNCTION IF EXISTS kos_counted(text, text, text, text)")
    for table in ("kos_count_changes", "kos_counts"):
        db.execute_sql(f"DROP TABLE IF EXISTS {table}")
