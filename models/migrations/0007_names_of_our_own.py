"""Renames our tables, since a site may have a ``task_dependencies`` of another shape.

Tables that an earlier version created under plain names are renamed with their rows. The earlier
steps use the new names since then; so a table with a plain name beside one of ours belongs to the
site and stays. ``down`` keeps the names, which the earlier steps expect.
"""

from __future__ import annotations

from peewee import Database
from playhouse.migrate import SchemaMigrator

from models.migrations.adopt import columns_of

FORMER_NAMES = {
    "kos_attempts": "attempts",
    "kos_blocks": "blocks",
    "kos_decisions": "decisions",
    "kos_dependencies": "task_dependencies",
    "kos_loads": "loads",
}

# The names that Postgres derived from the table's: keys, their indexes, sequences of serial
# columns.
NAMED_AFTER = """
SELECT 'ALTER TABLE ' || conrelid::regclass || ' RENAME CONSTRAINT ' || quote_ident(conname)
    || ' TO ' || quote_ident(%(ours)s || substr(conname, length(%(former)s) + 1))
  FROM pg_constraint WHERE conrelid = to_regclass(%(ours)s)
    AND left(conname, length(%(former)s) + 1) = %(former)s || '_'
UNION ALL
SELECT 'ALTER SEQUENCE ' || s.oid::regclass || ' RENAME TO '
    || quote_ident(%(ours)s || substr(s.relname, length(%(former)s) + 1))
  FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
  WHERE d.refobjid = to_regclass(%(ours)s)
    AND left(s.relname, length(%(former)s) + 1) = %(former)s || '_'
"""


def up(migrator: SchemaMigrator, db: Database) -> None:
    for ours, former in FORMER_NAMES.items():
        if columns_of(db, ours):
            continue
        db.execute_sql(f"ALTER TABLE {former} RENAME TO {ours}")
        names = {"ours": ours, "former": former}
        for (statement,) in db.execute_sql(NAMED_AFTER, names).fetchall():
            db.execute_sql(statement)


def down(migrator: SchemaMigrator, db: Database) -> None:
    """Nothing to undo."""
