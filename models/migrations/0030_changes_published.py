"""Changes of counts may be deleted where a publication covers all tables.

Postgres refuses deletes from a published table without a key. This one has none by intent: an
append waits for nobody. Its whole rows identify them where somebody publishes everything.
"""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("ALTER TABLE kos_count_changes REPLICA IDENTITY FULL")


def down(migrator: SchemaMigrator, db: Database) -> None:
    db.execute_sql("ALTER TABLE kos_count_changes REPLICA IDENTITY DEFAULT")
