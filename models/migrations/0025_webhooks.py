"""Webhooks, and one row for each event to deliver to one of them.

A trigger writes the deliveries in the transaction that ends a task or a batch, whatever program
ends it. If no webhook needs the event, it reads one small table and writes nothing.
"""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

TABLES = """
CREATE TABLE IF NOT EXISTS kos_webhooks (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name text UNIQUE NOT NULL,
  kind text NOT NULL CHECK (kind IN ('address', 'setting', 'command')),
  url text,
  secret text,
  events text[] NOT NULL,
  failures integer NOT NULL DEFAULT 0,
  held_until timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS kos_webhook_deliveries (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  webhook_id uuid NOT NULL REFERENCES kos_webhooks (id) ON DELETE CASCADE,
  event text NOT NULL,
  data jsonb NOT NULL,
  state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
  attempts integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  problem text,
  created_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz
);
CREATE INDEX IF NOT EXISTS kos_webhook_deliveries_due
  ON kos_webhook_deliveries (webhook_id, next_attempt_at) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS kos_webhook_deliveries_by_age
  ON kos_webhook_deliveries (webhook_id, created_at);
"""

# With the rights of the owner: the role that ends a task may have none on our tables.
FUNCTIONS = """
CREATE FUNCTION kos_task_ended() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO kos_webhook_deliveries (webhook_id, event, data)
  SELECT w.id, 'task.' || NEW.status, jsonb_build_object(
    'id', NEW.id, 'title', left(NEW.title::text, 500), 'status', NEW.status,
    'priority', NEW.priority, 'category', NEW.category, 'backend', NEW.backend,
    'model', NEW.model, 'attempt_count', NEW.attempt_count,
    'custom_id', NEW.idempotency_key, 'validation_score', NEW.validation_score,
    'last_error', left(NEW.last_error, 2000), 'project', NEW.metadata -> 'project',
    'tags', NEW.metadata -> 'tags', 'completed_at', NEW.completed_at,
    'expert', (SELECT e.name FROM experts e WHERE e.id = NEW.assignee_expert_id))
  FROM kos_webhooks w WHERE 'task.' || NEW.status = ANY(w.events);
  RETURN NULL;
END $$;
CREATE FUNCTION kos_batch_ended() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO kos_webhook_deliveries (webhook_id, event, data)
  SELECT w.id, 'batch.done', jsonb_build_object(
    'id', NEW.id, 'status', NEW.status, 'total', NEW.total, 'completed', NEW.completed,
    'failed', NEW.failed, 'metadata', NEW.metadata)
  FROM kos_webhooks w WHERE 'batch.done' = ANY(w.events);
  RETURN NULL;
END $$;
CREATE FUNCTION kos_notify_webhooks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('kos_webhooks', '');
  RETURN NULL;
END $$;
"""

TRIGGERS = """
CREATE TRIGGER kos_task_ended AFTER UPDATE OF status ON tasks
  FOR EACH ROW WHEN (NEW.status IN ('completed', 'failed')
    AND OLD.status IS DISTINCT FROM NEW.status)
  EXECUTE FUNCTION kos_task_ended();
CREATE TRIGGER kos_batch_ended AFTER UPDATE OF status ON kos_batches
  FOR EACH ROW WHEN (NEW.status IN ('completed', 'failed', 'expired', 'cancelled')
    AND OLD.status IS DISTINCT FROM NEW.status)
  EXECUTE FUNCTION kos_batch_ended();
CREATE TRIGGER kos_notify_webhooks AFTER INSERT ON kos_webhook_deliveries
  FOR EACH ROW EXECUTE FUNCTION kos_notify_webhooks();
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    for statements in (TABLES, FUNCTIONS, TRIGGERS):
        db.execute_sql(statements)


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("DROP TRIGGER IF EXISTS kos_task_ended ON tasks")
    db.execute_sql("DROP TRIGGER IF EXISTS kos_batch_ended ON kos_batches")
    for table in ("kos_webhook_deliveries", "kos_webhooks"):
        db.execute_sql(f"DROP TABLE IF EXISTS {table}")
    for name in ("kos_task_ended", "kos_batch_ended", "kos_notify_webhooks"):
        db.execute_sql(f"DROP FUNCTION IF EXISTS {name}()")
