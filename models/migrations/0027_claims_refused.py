"""Makes another worker's claim of one of our running rows change nothing.

It may claim rows in progress that look stuck to it, for example by their age, regardless of our
lease. Such a statement sets ``in_progress`` and a new ``updated_at`` and nothing else. While the
lease is valid the row is skipped, so that the other worker sees no updated row. Statements that
change anything else are executed.
"""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

UP = """
CREATE FUNCTION kos_refuse_claim() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF to_jsonb(NEW) - 'updated_at' = to_jsonb(OLD) - 'updated_at' THEN
    RETURN NULL;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER kos_refuse_claim BEFORE UPDATE OF status ON tasks
  FOR EACH ROW WHEN (OLD.status = 'in_progress' AND NEW.status = 'in_progress'
    AND OLD.lease_owner IS NOT NULL AND OLD.lease_expires_at > now()
    AND left(current_setting('application_name'), 3) <> 'kos')
  EXECUTE FUNCTION kos_refuse_claim();
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(UP)


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("DROP TRIGGER IF EXISTS kos_refuse_claim ON tasks")
    db.execute_sql("DROP FUNCTION IF EXISTS kos_refuse_claim()")
