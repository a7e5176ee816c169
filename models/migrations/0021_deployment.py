"""Which Redis counts the slots of this database: at most one row.

Two homes with a Redis each would both grant the whole limit.
"""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

TABLE = """
CREATE TABLE IF NOT EXISTS kos_deployment (
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
  redis_id text NOT NULL,
  redis_at text NOT NULL,
  home_id text NOT NULL,
  home text NOT NULL,
  since timestamptz NOT NULL DEFAULT now()
);
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(TABLE)


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("DROP TABLE IF EXISTS kos_deployment")
