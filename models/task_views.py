"""Tasks as people see them: lists, one task whole, streams for export."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.base import Row, fetch_all, fetch_one, in_utc
from models.database import database

EXPORT_ROWS = 1000

COLUMNS = """
t.id::text AS id, t.title, coalesce(t.status, 'pending') AS status,
coalesce(t.priority, 'medium') AS priority, t.category, e.name AS expert, t.backend, t.model,
t.attempt_count, t.created_at, t.started_at, t.completed_at, t.result, t.last_error,
t.validation_score, t.idempotency_key AS custom_id
"""
FROM = "FROM tasks t LEFT JOIN experts e ON e.id = t.assignee_expert_id"


def listing(
    *,
    statuses: Sequence[str] = (),
    backend: str | None = None,
    since: datetime | None = None,
    search: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> list[Row]:
    """Tasks newest first, with the fields of ``kos tasks``; of one moment by id."""
    where, parameters = _conditions(statuses, backend, since, search)
    rows = fetch_all(
        f"SELECT {COLUMNS} {FROM} {where} ORDER BY t.created_at DESC, t.id DESC "
        "LIMIT %(limit)s OFFSET %(offset)s",
        {**parameters, "limit": limit, "offset": offset},
    )
    return [in_utc(row) for row in rows]


def one(task_id: str) -> Row | None:
    """One task with description, metadata, progress and what it depends on; None if unknown."""
    row = fetch_one(
        f"SELECT {COLUMNS}, t.description, t.metadata, t.epoch, t.crash_count, t.complexity, "
        "t.next_attempt_at, t.cancel_requested_at, t.queued_at, t.lease_owner, t.progress, "
        f"t.block_id::text {FROM} WHERE t.id = %s::uuid",
        (task_id,),
    )
    if row is None:
        return None
    row["depends_on"] = [
        found["id"]
        for found in fetch_all(
            "SELECT depends_on_id::text AS id FROM kos_dependencies WHERE task_id = %s::uuid",
            (task_id,),
        )
    ]
    return in_utc(row)


def ids_by_prefix(prefix: str, *, limit: int = 3) -> list[str]:
    """Ids that begin with ``prefix`` (hex digits and dashes)."""
    low, high = _uuid_range(prefix)
    rows = fetch_all(
        "SELECT id::text FROM tasks WHERE id BETWEEN %s::uuid AND %s::uuid LIMIT %s",
        (low, high, limit),
    )
    return [row["id"] for row in rows]


def statuses_of(task_ids: Sequence[str]) -> dict[str, str]:
    """Status by id, for those that exist."""
    rows = fetch_all(
        "SELECT id::text, status FROM tasks WHERE id = ANY(%s::uuid[])", (list(task_ids),)
    )
    return {row["id"]: row["status"] for row in rows}


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a task stands now."""

    status: str | None
    epoch: int
    phase: str | None


def moment_of(task_id: str) -> Moment | None:
    """None where there is no such task."""
    row = fetch_one(
        "SELECT status, epoch, progress ->> 'phase' AS phase FROM tasks WHERE id = %s::uuid",
        (task_id,),
    )
    return Moment(**row) if row else None


def titles_of(task_ids: Sequence[str]) -> dict[str, str]:
    """Title by id, of those that have one."""
    if not task_ids:
        return {}
    rows = fetch_all(
        "SELECT id::text, title FROM tasks WHERE id = ANY(%s::uuid[])", (list(task_ids),)
    )
    return {row["id"]: row["title"] for row in rows if row["title"]}


def waiting_for(task_id: str, *, limit: int = 50) -> list[str]:
    """Ids of tasks that wait for this one."""
    rows = fetch_all(
        "SELECT task_id::text AS id FROM kos_dependencies WHERE depends_on_id = %s::uuid LIMIT %s",
        (task_id, limit),
    )
    return [row["id"] for row in rows]


def ids_by_key(keys: Sequence[str]) -> dict[str, str]:
    """Task id by idempotency key."""
    rows = fetch_all(
        "SELECT idempotency_key AS key, id::text FROM tasks WHERE idempotency_key = ANY(%s)",
        (list(keys),),
    )
    return {row["key"]: row["id"] for row in rows}


_EXPORT = f"""
DECLARE kos_export NO SCROLL CURSOR FOR SELECT {COLUMNS} {FROM}
WHERE (%(statuses)s::text[] IS NULL OR t.status = ANY(%(statuses)s::text[]))
  AND (%(since)s::timestamptz IS NULL OR t.created_at >= %(since)s)
ORDER BY t.created_at, t.id
"""


def exported(*, statuses: Sequence[str] = (), since: datetime | None = None) -> Iterator[Row]:
    """Tasks oldest first, as they stood when the export began; flat memory however many."""
    # A cursor of the server lives in a transaction; peewee's connections commit by themselves.
    with database.atomic():
        fetch_all(_EXPORT, {"statuses": list(statuses) or None, "since": since})
        while rows := fetch_all(f"FETCH FORWARD {EXPORT_ROWS} FROM kos_export"):
            yield from map(in_utc, rows)
        fetch_all("CLOSE kos_export")


def matching_ids(*, statuses: Sequence[str], since: datetime | None = None) -> list[str]:
    """The ids alone, oldest first."""
    rows = fetch_all(
        "SELECT id::text FROM tasks WHERE status = ANY(%(statuses)s::text[]) "
        "AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s) ORDER BY created_at, id",
        {"statuses": list(statuses), "since": since},
    )
    return [row["id"] for row in rows]


def _conditions(
    statuses: Sequence[str], backend: str | None, since: datetime | None, search: str | None
) -> tuple[str, dict[str, Any]]:
    clauses: list[str] = []
    parameters: dict[str, Any] = {}
    if statuses:
        clauses.append("t.status = ANY(%(statuses)s)")
        parameters["statuses"] = list(statuses)
    if backend:
        clauses.append("t.backend = %(backend)s")
        parameters["backend"] = backend
    if since:
        clauses.append("t.created_at >= %(since)s")
        parameters["since"] = since
    if search:
        clauses.append("(t.title ILIKE %(search)s OR t.description ILIKE %(search)s)")
        parameters["search"] = _containing(search)
    where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
    return where, parameters


def _containing(text: str) -> str:
    """The pattern of ILIKE that finds ``text`` as it is written."""
    return "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"


def _uuid_range(prefix: str) -> tuple[str, str]:
    digits = prefix.replace("-", "").lower()
    low, high = digits.ljust(32, "0"), digits.ljust(32, "f")
    return low, high
