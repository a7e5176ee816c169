"""Loads: one row for every load of a model into memory."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

TABLES = """
CREATE TABLE IF NOT EXISTS kos_loads (
  id bigserial PRIMARY KEY,
  backend text NOT NULL,
  model text NOT NULL,
  num_ctx integer NOT NULL DEFAULT 0,
  at timestamptz NOT NULL DEFAULT now(),
  seconds real NOT NULL,
  cause text NOT NULL
);
CREATE INDEX IF NOT EXISTS kos_loads_at ON kos_loads (at DESC);
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(TABLES)


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("DROP TABLE IF EXISTS kos_loads")
