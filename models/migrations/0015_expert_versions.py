"""Every version of an expert's system prompt, with its time and author.

Triggers store them, so that changes by plain SQL are stored as well. The function runs with the
rights of its owner, because the role that edits experts may have none on our table. ``kos.author``
names the author for one transaction; without it the database role is the author.
"""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

TABLE = """
CREATE TABLE IF NOT EXISTS kos_expert_versions (
  expert_id uuid NOT NULL,
  version integer NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  author text NOT NULL,
  system_prompt text NOT NULL,
  PRIMARY KEY (expert_id, version)
);
INSERT INTO kos_expert_versions (expert_id, version, author, system_prompt)
SELECT id, 1, session_user, coalesce(system_prompt, '') FROM experts
ON CONFLICT DO NOTHING;
"""

TRIGGERS = """
CREATE FUNCTION kos_keep_prompt() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO kos_expert_versions (expert_id, version, author, system_prompt)
  SELECT NEW.id, coalesce(max(version), 0) + 1,
    coalesce(nullif(current_setting('kos.author', true), ''), session_user),
    coalesce(NEW.system_prompt, '')
  FROM kos_expert_versions WHERE expert_id = NEW.id;
  RETURN NULL;
END $$;
CREATE TRIGGER kos_expert_added AFTER INSERT ON experts
  FOR EACH ROW EXECUTE FUNCTION kos_keep_prompt();
CREATE TRIGGER kos_expert_changed AFTER UPDATE OF system_prompt ON experts
  FOR EACH ROW WHEN (OLD.system_prompt IS DISTINCT FROM NEW.system_prompt)
  EXECUTE FUNCTION kos_keep_prompt();
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(TABLE)
    db.execute_sql(TRIGGERS)


def down(migrator: SchemaMigrator, db: Database) -> None:
    for trigger in ("kos_expert_added", "kos_expert_changed"):
        db.execute_sql(f"DROP TRIGGER IF EXISTS {trigger} ON experts")
    db.execute_sql("DROP FUNCTION IF EXISTS kos_keep_prompt()")
    db.execute_sql("DROP TABLE IF EXISTS kos_expert_versions")
