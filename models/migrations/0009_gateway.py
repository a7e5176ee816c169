"""The gateway's ledger and the keys of its callers."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

TABLES = """
CREATE TABLE IF NOT EXISTS kos_requests (
  id bigserial PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(),
  caller text NOT NULL,
  api text NOT NULL,
  asked text NOT NULL,
  status integer NOT NULL,
  backend text,
  model text,
  queue_seconds double precision NOT NULL DEFAULT 0,
  load_seconds double precision NOT NULL DEFAULT 0,
  first_token_seconds double precision,
  duration_seconds double precision NOT NULL DEFAULT 0,
  prompt_tokens integer,
  completion_tokens integer,
  error text,
  text text
);
CREATE INDEX IF NOT EXISTS kos_requests_at ON kos_requests (at DESC);

CREATE TABLE IF NOT EXISTS kos_keys (
  id bigserial PRIMARY KEY,
  name text NOT NULL,
  hash text NOT NULL UNIQUE,
  hint text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  revoked_at timestamptz
);
CREATE UNIQUE INDEX IF NOT EXISTS kos_keys_in_use ON kos_keys (name) WHERE revoked_at IS NULL;
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(TABLES)


def down(migrator: SchemaMigrator, db: Database) -> None:
    for table in ("kos_keys", "kos_requests"):
        db.execute_sql(f"DROP TABLE IF EXISTS {table}")
