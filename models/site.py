"""Examines the database of a site before our tables are added to it.

Read only. Any schema is possible, so each function checks that a table or column exists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from playhouse.migrations import MigrationError

from models.base import Row, fetch_all, fetch_one
from models.database import database
from models.migrations.adopt import (
    OURS,
    columns_of,
    dependencies_unfollowed,
    require_states_allowed,
    require_uuid_id,
    table_exists,
)
from models.migrations.shared_tables import SHARED_TABLES, misfits
from models.states import Priority, TaskState

NULLS = {
    "status": "worked as pending",
    "priority": "worked as medium",
    "metadata": "read as {}",
    "title": "shown without one",
    "created_at": "worked as old",
}
NOT_USED = {
    "required_models": "a task names its model in metadata.preferred_model",
    "complexity_score": "our own estimate is in the column complexity",
}
"""Columns of a site that we do not read, and what we read instead."""
FILLED = {
    "tasks": {"id", "title", "description", "priority", "metadata", "status", "created_at"},
    "experts": {"id", "name", "role", "department", "system_prompt"},
}
"""Columns that have a value in every row that we add."""
ADDS = {"tasks": "kos submit", "experts": "kos experts add"}
NO_SCHEMA = "run kos migrate grants ROLE as the owner, or correct the search_path in DATABASE_URL"


@dataclass(frozen=True, slots=True)
class SiteFinding:
    """``subject``: what was found; ``meaning``: what it means for us."""

    subject: str
    meaning: str


def adopted() -> bool:
    """Whether tasks or experts exist that our migrations did not create."""
    rows = fetch_all(
        "SELECT 1 FROM unnest(%s) AS t(name) WHERE to_regclass(name) IS NOT NULL "
        "AND obj_description(to_regclass(name), 'pg_class') IS DISTINCT FROM %s",
        (list(SHARED_TABLES), OURS),
    )
    return bool(rows)


def findings() -> list[SiteFinding]:
    """Everything unusual in the database, in reading order."""
    found = [*_tables()]
    if table_exists(database, "tasks"):
        found += _odd_words("status", TaskState, "nothing works them")
        found += _odd_words("priority", Priority, "worked as medium")
        found += [*_nulls(), *_metadata(), *_waiting(), *unused()]
    return [*found, *_required(), *_hidden_rows(), *_triggers(), *_clashes()]


def obstacles() -> Iterator[SiteFinding]:
    """Why ``kos migrate up`` would be refused, each with what to do first."""
    if not _may("current_schema() IS NOT NULL"):
        yield SiteFinding("this role may use no schema of its search_path", NO_SCHEMA)
    elif not _may("has_schema_privilege(current_schema(), 'CREATE')"):
        yield SiteFinding(
            "this role may not create tables here",
            "run kos adopt --apply with the DATABASE_URL of the owner of the schema",
        )
    for table in filter(_exists, SHARED_TABLES):
        owner = fetch_all(
            "SELECT pg_get_userbyid(relowner) AS name, pg_has_role(relowner, 'USAGE') AS ours "
            "FROM pg_class WHERE oid = to_regclass(%s)",
            (table,),
        )[0]
        if not owner["ours"]:
            yield SiteFinding(
                f"table {table} belongs to {owner['name']}",
                f"run kos adopt --apply with a DATABASE_URL of {owner['name']}",
            )
        yield from _refusals(table)


def _refusals(table: str) -> Iterator[SiteFinding]:
    try:
        require_uuid_id(database, table)
        if table == "tasks":
            require_states_allowed(database, "tasks", "status", tuple(TaskState))
    except MigrationError as error:
        yield _refusal(str(error))
    yield from map(_refusal, misfits(database, table, SHARED_TABLES[table]))


def _refusal(text: str) -> SiteFinding:
    subject, separator, remedy = text.partition(": run ")
    return SiteFinding(subject, f"run {remedy}" if separator else "use a database of its own")


def unused() -> Iterator[SiteFinding]:
    """Columns and metadata keys with values of the site that we never read."""
    present = columns_of(database, "tasks")
    for column, instead in NOT_USED.items():
        if column in present:
            default = "AND complexity_score <> 1" if column == "complexity_score" else ""
            n = _count(f"{column} IS NOT NULL {default}")
            if n:
                yield SiteFinding(f"tasks.{column} is set in {n} open rows", f"not used: {instead}")
    if "metadata" in present and (n := _count("metadata::jsonb ? 'batch_group'")):
        yield SiteFinding(
            f"metadata.batch_group is set in {n} open rows",
            "not used: tasks run in blocks of one model, grouped by expert and files",
        )


def _tables() -> Iterator[SiteFinding]:
    for table in filter(_exists, SHARED_TABLES):
        n = fetch_all(f"SELECT count(*) AS n FROM {table}")[0]["n"]
        yield SiteFinding(f"table {table} with {n} rows", "adopted as it stands")


def _odd_words(column: str, known: type[StrEnum], meaning: str) -> Iterator[SiteFinding]:
    """The most frequent words of ``column`` that we do not know."""
    if column not in columns_of(database, "tasks"):
        return
    rows = fetch_all(
        f"SELECT left({column}::text, 100) AS word, count(*) AS n FROM tasks "
        f"WHERE {column}::text <> ALL(%s) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20",
        ([word.value for word in known],),
    )
    for row in rows:
        yield SiteFinding(f"{column} {row['word']!r} in {row['n']} rows", meaning)


def _nulls() -> Iterator[SiteFinding]:
    for column, meaning in NULLS.items():
        if column in columns_of(database, "tasks") and (n := _count_all(f"{column} IS NULL")):
            yield SiteFinding(f"{column} is NULL in {n} rows", meaning)


def _metadata() -> Iterator[SiteFinding]:
    if "metadata" in columns_of(database, "tasks"):
        n = _count_all("jsonb_typeof(metadata::jsonb) <> 'object'")
        if n:
            yield SiteFinding(f"metadata is no object in {n} rows", "read as far as it can be")


def has_knowledge() -> bool:
    """Whether the other system's table of answers is there."""
    return {"content", "source_ref", "domain_id"} <= columns_of(database, "knowledge_nodes")


def _waiting() -> Iterator[SiteFinding]:
    columns = columns_of(database, "tasks")
    if "parent_task_id" in columns and (n := _count("parent_task_id IS NOT NULL")):
        yield SiteFinding(f"parent_task_id is set in {n} open rows", "they wait for that task")
    if "metadata" in columns and (n := _count("metadata::jsonb ? 'next_retry_after'")):
        yield SiteFinding(f"next_retry_after is set in {n} open rows", "not taken before it")
    if {"parent_task_id", "child_task_id"} <= columns_of(database, "task_dependencies"):
        followed = not dependencies_unfollowed(database)
        meaning = "followed" if followed else "the child waits, once kos adopt --apply has run"
        yield SiteFinding("table task_dependencies (parent, child)", meaning)


def _required() -> Iterator[SiteFinding]:
    """Required columns that we do not know, which therefore prevent inserts."""
    rows = fetch_all(
        "SELECT attname, attrelid::regclass::text AS table FROM pg_attribute "
        "WHERE attrelid IN (SELECT to_regclass(name) FROM unnest(%s) AS t(name)) AND attnum > 0 "
        "AND attnotnull AND NOT atthasdef AND NOT attisdropped AND attidentity = '' ORDER BY 2, 1",
        (list(SHARED_TABLES),),
    )
    for row in rows:
        if row["attname"] not in FILLED[row["table"]]:
            yield SiteFinding(
                f"column {row['attname']} of {row['table']} must have a value",
                f"{ADDS[row['table']]} cannot add rows; those of other programs are worked",
            )


def _hidden_rows() -> Iterator[SiteFinding]:
    rows = fetch_all(
        "SELECT relname FROM pg_class WHERE relrowsecurity "
        "AND oid IN (SELECT to_regclass(name) FROM unnest(%s) AS t(name)) ORDER BY 1",
        (list(SHARED_TABLES),),
    )
    for row in rows:
        yield SiteFinding(
            f"row security on {row['relname']}", "rows that its policies hide are not worked"
        )


def _triggers() -> Iterator[SiteFinding]:
    rows = fetch_all(
        "SELECT tgname, tgrelid::regclass::text AS table FROM pg_trigger "
        "WHERE tgrelid IN (SELECT to_regclass(name) FROM unnest(%s) AS t(name)) "
        "AND NOT tgisinternal AND tgname NOT LIKE 'kos\\_%%' ORDER BY 2, 1",
        (list(SHARED_TABLES),),
    )
    for row in rows:
        yield SiteFinding(
            f"trigger {row['tgname']} on {row['table']}", "stays and fires for us too"
        )


def _clashes() -> Iterator[SiteFinding]:
    if "migration_name" in columns_of(database, "schema_migrations"):
        yield SiteFinding(
            "table schema_migrations of another program", "left alone: ours has its own"
        )


def _exists(table: str) -> bool:
    return table_exists(database, table)


def _may(condition: str) -> bool:
    row = fetch_one(f"SELECT {condition} AS may")
    return bool(row and row["may"])


def _count(condition: str) -> int:
    """Unfinished rows with that condition."""
    if "status" not in columns_of(database, "tasks"):
        return _count_all(condition)
    return _count_all(f"coalesce(status::text, 'pending') IN ('pending', 'queued') AND {condition}")


def _count_all(condition: str) -> int:
    rows: Sequence[Row] = fetch_all(f"SELECT count(*) AS n FROM tasks WHERE {condition}")
    return int(rows[0]["n"])
