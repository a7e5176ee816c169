"""Indexes for projects and tags, which are in ``metadata``, where other programs also write them.

Separate columns would have to be synchronised with it. The newest tasks of a project come from an
index in their order, those of a tag from a GIN index; totals by project are kept counts (kind
``project``; part: open, completed, failed or cancelled).
"""

from __future__ import annotations

from importlib import import_module

from peewee import Database
from playhouse.migrate import SchemaMigrator

from models.counts import RECOUNT

TABLE = """
CREATE TABLE IF NOT EXISTS kos_projects (
  name text PRIMARY KEY,
  expert text,
  backend text,
  created_at timestamptz NOT NULL DEFAULT now()
);
"""

INDEXES = """
CREATE INDEX IF NOT EXISTS kos_tasks_project
  ON tasks (left(metadata ->> 'project', 100), created_at DESC)
  WHERE metadata ->> 'project' IS NOT NULL;
CREATE INDEX IF NOT EXISTS kos_tasks_tags ON tasks USING gin ((metadata -> 'tags'));
"""

FUNCTIONS = """
CREATE FUNCTION kos_counted(
  status text, category text, priority text, expert text, project text)
RETURNS TABLE (kind text, name text, part text)
LANGUAGE sql IMMUTABLE AS $$
  SELECT * FROM kos_counted(status, category, priority, expert)
  UNION ALL SELECT 'project', project,
      CASE WHEN status IN ('completed', 'failed', 'cancelled') THEN status ELSE 'open' END
    WHERE project IS NOT NULL
$$;
CREATE OR REPLACE FUNCTION kos_count_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO kos_count_changes (kind, name, part, n)
  SELECT line.kind, line.name, line.part,
    CASE TG_OP WHEN 'INSERT' THEN sum(c.n) ELSE -sum(c.n) END FROM (
    SELECT t.status::text AS status, t.category::text AS category, t.priority::text AS priority,
      t.assignee_expert_id::text AS expert, left(t.metadata ->> 'project', 100) AS project,
      count(*) AS n FROM changed t GROUP BY 1, 2, 3, 4, 5) c,
    kos_counted(c.status, c.category, c.priority, c.expert, c.project) line
  GROUP BY 1, 2, 3;
  RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION kos_count_moved() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO kos_count_changes (kind, name, part, n)
  SELECT line.kind, line.name, line.part, sum(m.n) FROM (
    SELECT t.status::text AS status, t.category::text AS category, t.priority::text AS priority,
      t.assignee_expert_id::text AS expert, left(t.metadata ->> 'project', 100) AS project,
      sum(t.n) AS n
    FROM (SELECT status, category, priority, assignee_expert_id, metadata, 1 AS n FROM added
      UNION ALL
      SELECT status, category, priority, assignee_expert_id, metadata, -1 FROM removed) t
    GROUP BY 1, 2, 3, 4, 5 HAVING sum(t.n) <> 0) m,
    kos_counted(m.status, m.category, m.priority, m.expert, m.project) line
  GROUP BY 1, 2, 3 HAVING sum(m.n) <> 0;
  RETURN NULL;
END $$;
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    for statements in (TABLE, INDEXES, FUNCTIONS, RECOUNT):
        db.execute_sql(statements)


def down(migrator: SchemaMigrator, db: Database) -> None:
    before = import_module("models.migrations.0022_kept_counts").FUNCTIONS
    db.execute_sql(before.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    db.execute_sql("DROP FUNCTION IF EXISTS kos_counted(text, text, text, text, text)")
    for index in ("kos_tasks_project", "kos_tasks_tags"):
        db.execute_sql(f"DROP INDEX IF EXISTS {index}")
    db.execute_sql("DROP TABLE IF EXISTS kos_projects")
