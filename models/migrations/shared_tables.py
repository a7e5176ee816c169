"""The two tables that we share with a site: their columns, and which existing ones fit.

We never change a site's column. One of another type, or too narrow for our values, is reported
before anything is added; otherwise the first write into it would fail much later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from peewee import Database
from playhouse.migrations import MigrationError

EXPERTS = {
    "id": "uuid PRIMARY KEY DEFAULT gen_random_uuid()",
    "name": "varchar(255) UNIQUE",
    "role": "varchar(255)",
    "department": "varchar(255)",
    "system_prompt": "text",
    "is_active": "boolean DEFAULT true",
    "metadata": "jsonb DEFAULT '{}'::jsonb",
    "created_at": "timestamptz DEFAULT now()",
}

TASKS = {
    "id": "uuid PRIMARY KEY DEFAULT gen_random_uuid()",
    "title": "text",
    "description": "text",
    "status": "varchar(50) DEFAULT 'pending'",
    "priority": "varchar(50) DEFAULT 'medium'",
    "assignee_expert_id": "uuid",
    "creator_expert_id": "uuid",
    "domain_id": "uuid",
    "parent_task_id": "uuid",
    "metadata": "jsonb DEFAULT '{}'::jsonb",
    "result": "text",
    "created_at": "timestamptz DEFAULT now()",
    "updated_at": "timestamptz DEFAULT now()",
    "started_at": "timestamptz",
    "completed_at": "timestamptz",
}
OURS_IN_TASKS = {
    "epoch": "bigint NOT NULL DEFAULT 0",
    "lease_owner": "text",
    "lease_expires_at": "timestamptz",
    "queued_at": "timestamptz",
    "next_attempt_at": "timestamptz",
    "attempt_count": "integer NOT NULL DEFAULT 0",
    "crash_count": "integer NOT NULL DEFAULT 0",
    "backend": "text",
    "model": "text",
    "block_id": "uuid",
    "category": "text",
    "complexity": "real",
    "idempotency_key": "text",
    "cancel_requested_at": "timestamptz",
    "last_error": "text",
    "validation_score": "real",
    "avoid": "jsonb",
    "checkpoint": "jsonb",
    "progress": "jsonb",
}

TASKS |= OURS_IN_TASKS
SHARED_TABLES = {"tasks": TASKS, "experts": EXPERTS}

FITTING_TYPES = {
    "uuid": ("uuid",),
    "text": ("text", "character varying"),
    "varchar": ("text", "character varying"),
    "jsonb": ("jsonb",),
    "timestamptz": ("timestamp with time zone", "timestamp without time zone"),
    "bigint": ("bigint", "integer"),
    "integer": ("integer", "bigint"),
    "real": ("real", "double precision", "numeric"),
    "boolean": ("boolean",),
}
"""Type in our definition -> types of a site that accept the same values."""
LEAST_CHARACTERS = {"status": 11, "priority": 6, "category": 9, "backend": 100, "model": 255,
                    "lease_owner": 255, "idempotency_key": 255}  # fmt: skip
"""The minimum length of a site's ``varchar(n)``; our other texts are unbounded."""
NEVER_WRITTEN = ("creator_expert_id", "domain_id", "parent_task_id")
ANY_LENGTH = ("title", "description", "name", "role", "department", "system_prompt")

COLUMNS = """
SELECT attname, atttypid::regtype::text, atttypmod - 4, attnotnull FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


def require_fitting(db: Database, table: str, columns: Mapping[str, str]) -> None:
    """Raises MigrationError for the first of :func:`misfits`."""
    for misfit in misfits(db, table, columns):
        raise MigrationError(misfit)


def misfits(db: Database, table: str, columns: Mapping[str, str]) -> Iterator[str]:
    """Columns of ``table`` that cannot hold our values: what is wrong, then ``: run`` and the
    statement that fixes it."""
    for name, type_name, characters, not_null in db.execute_sql(COLUMNS, (table,)).fetchall():
        definition = columns.get(name, "")
        wanted = definition.partition(" ")[0].partition("(")[0]
        if name == "id" or not wanted or name in NEVER_WRITTEN:
            continue
        alter = f"ALTER TABLE {table} ALTER COLUMN {name}"
        if type_name not in FITTING_TYPES[wanted]:
            misfit = f"column {name} of table {table} is {type_name}, not {wanted}"
            remedy = f": run {alter} TYPE {wanted} USING {name}::{wanted}"
            yield misfit if name in OURS_IN_TASKS else misfit + remedy
        elif characters >= 0 and characters < _least_characters(name):
            yield f"column {name} of table {table} is too short: run {alter} TYPE text"
        elif "NOT NULL" in definition and not not_null:
            default = definition.rpartition(" ")[2]
            yield (
                f"column {name} of table {table} may be NULL: "
                f"run UPDATE {table} SET {name} = {default} WHERE {name} IS NULL; "
                f"{alter} SET DEFAULT {default}, ALTER COLUMN {name} SET NOT NULL"
            )


def _least_characters(name: str) -> float:
    return 0 if name in ANY_LENGTH else LEAST_CHARACTERS.get(name, float("inf"))
