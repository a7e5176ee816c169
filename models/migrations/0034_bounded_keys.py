"""Indexes over categories and values of ``metadata`` hold their first 100 characters.

An index refuses a row whose key has more than 2,700 bytes: a program that keeps a whole document
in ``metadata.project`` could not insert its rows.
"""

from __future__ import annotations

from importlib import import_module

from peewee import Database
from playhouse.migrate import SchemaMigrator

INDEXES = (
    "kos_tasks_rerun_of",
    "kos_tasks_upload",
    "kos_tasks_project",
    "kos_tasks_pending_groups",
)


def up(migrator: SchemaMigrator, db: Database) -> None:
    for index in INDEXES:
        db.execute_sql(f"DROP INDEX IF EXISTS {index}")
    for step in ("0023_reruns", "0029_uploads"):
        import_module(f"models.migrations.{step}").up(migrator, db)
    db.execute_sql(import_module("models.migrations.0026_projects").INDEXES)
    db.execute_sql(import_module("models.migrations.0005_batches").GROUPS)


def down(migrator: SchemaMigrator, db: Database) -> None:
    """Nothing to undo: the steps before make the same indexes."""
