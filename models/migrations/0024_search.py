"""Full-text search over title, description and answer of tasks.

Postgres' ``russian`` configuration stems Cyrillic words by Russian rules and Latin ones by
English rules. Of long texts the first 20,000 characters are indexed, so that a write stays cheap
and no text is too long for a tsvector. The cost of the function makes the planner use the index.
"""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

UP = """
CREATE OR REPLACE FUNCTION kos_task_words(title text, description text, result text)
RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 10000 AS $$
  SELECT to_tsvector('pg_catalog.russian', left(coalesce(title, ''), 500) || ' ' ||
    left(coalesce(description, ''), 20000) || ' ' || left(coalesce(result, ''), 20000))
$$;
CREATE INDEX IF NOT EXISTS kos_tasks_words ON tasks
  USING gin (kos_task_words(title::text, description::text, result::text));
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(UP)


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("DROP INDEX IF EXISTS kos_tasks_words")
    db.execute_sql("DROP FUNCTION IF EXISTS kos_task_words(text, text, text)")
