"""A new or reactivated expert wakes the listener, so that tasks without one are assigned."""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql(
        "CREATE OR REPLACE TRIGGER kos_notify_experts "
        "AFTER INSERT OR UPDATE OF is_active ON experts "
        "FOR EACH STATEMENT EXECUTE FUNCTION kos_notify_tasks()"
    )


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("DROP TRIGGER IF EXISTS kos_notify_experts ON experts")
