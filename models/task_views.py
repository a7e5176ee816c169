"""Tasks for display: lists, one whole task, streams for export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from models.base import fetch_all, fetch_one, value_of
from models.database import database, time_limit
from models.task_filter import TaskFilter
from models.task_rows import ListedTask, WholeTask

EXPORT_ROWS = 1000
LIST_SECONDS = 7
"""Less than the client waits: Postgres ends the statement itself, and nothing goes on running."""
_BITMAPS = "SET LOCAL enable_indexscan = {0}; SET LOCAL enable_seqscan = {0}; "
SEARCHED_FIRST = (2_000, 10_000)
"""So many of the newest tasks are searched before all are. With a further filter the second number
alone: the first would seldom be enough, and each pass reads the whole list of a word."""
_EDGE = "SELECT created_at AS edge FROM tasks ORDER BY created_at DESC, id DESC OFFSET %s LIMIT 1"
MOST_TAGS = 100

TASK_FIELDS = """
t.id::text AS id, t.title, coalesce(t.status, 'pending') AS status,
coalesce(t.priority, 'medium') AS priority, t.category, e.name AS expert, t.backend, t.model,
t.attempt_count, t.created_at, t.started_at, t.completed_at, t.result, t.last_error,
t.validation_score, t.idempotency_key AS custom_id, t.metadata ->> 'project' AS project,
CASE f.thumb WHEN 1 THEN 'up' WHEN -1 THEN 'down' END AS thumb, f.note AS thumb_note,
ARRAY(SELECT tag FROM jsonb_array_elements_text(CASE jsonb_typeof(t.metadata -> 'tags')
  WHEN 'array' THEN t.metadata -> 'tags' ELSE '[]' END) AS tag WHERE tag IS NOT NULL) AS tags
"""
FACETS = {
    "status": "coalesce(t.status, 'pending')", "priority": "coalesce(t.priority, 'medium')",
    "category": "t.category", "expert": "e.name", "backend": "t.backend", "model": "t.model",
    "project": "t.metadata ->> 'project'",
}  # fmt: skip
ALL = TaskFilter()
FROM = (
    "FROM tasks t LEFT JOIN experts e ON e.id = t.assignee_expert_id "
    "LEFT JOIN kos_feedback f ON f.task_id = t.id"
)


def listing(chosen: TaskFilter = ALL, *, limit: int = 50, offset: int = 0) -> list[ListedTask]:
    """Tasks newest first, with the fields of ``kos tasks``; those of one moment by id.

    Raises TookTooLong for a list that takes longer than `LIST_SECONDS`.
    """
    with time_limit(LIST_SECONDS):
        return of_ids(newest_ids(chosen, limit=limit, offset=offset))


def of_ids(task_ids: Sequence[str]) -> list[ListedTask]:
    """The same, for these tasks."""
    rows = fetch_all(
        f"SELECT {TASK_FIELDS} {FROM} WHERE t.id = ANY(%s::uuid[]) "
        "ORDER BY t.created_at DESC, t.id DESC",
        (list(task_ids),),
    )
    return [value_of(ListedTask, row) for row in rows]


def newest_ids(chosen: TaskFilter = ALL, *, limit: int | None, offset: int = 0) -> list[str]:
    """The ids of `listing`; no ``limit``: of all that match.

    The ids alone, for an index holds all that the usual filters look at: a rare model costs no
    look at the rows.
    """
    where, parameters = chosen.where()
    parameters |= {"limit": limit, "offset": offset}
    if chosen.search:
        only_words = chosen == TaskFilter(search=chosen.search)
        return _searched(where, parameters, SEARCHED_FIRST if only_words else SEARCHED_FIRST[-1:])
    return _ids(where, parameters)


def one(task_id: str) -> WholeTask | None:
    """One task without its attempts; None if unknown."""
    row = fetch_one(
        f"SELECT {TASK_FIELDS}, t.description, t.metadata, t.epoch, t.crash_count, t.complexity, "
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
    return value_of(WholeTask, row)


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
    """The present state of a task."""

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


@dataclass(frozen=True, slots=True)
class Rerun:
    """A task that ran another one again."""

    id: str
    title: str | None
    status: str | None
    expert: str | None
    model: str | None


def reruns_of(task_id: str, *, limit: int = 50) -> list[Rerun]:
    """The reruns of this task, oldest first."""
    rows = fetch_all(
        "SELECT t.id::text AS id, t.title, t.status, e.name AS expert, t.model "
        f"{FROM} WHERE left(t.metadata ->> 'rerun_of', 100) = %s ORDER BY t.created_at LIMIT %s",
        (task_id, limit),
    )
    return [Rerun(**row) for row in rows]


def ids_by_key(keys: Sequence[str]) -> dict[str, str]:
    """Task id by idempotency key."""
    rows = fetch_all(
        "SELECT idempotency_key AS key, id::text FROM tasks WHERE idempotency_key = ANY(%s)",
        (list(keys),),
    )
    return {row["key"]: row["id"] for row in rows}


def uploads_in_use(names: Sequence[str]) -> set[str]:
    """Those of the directories of uploaded files that some task names."""
    rows = fetch_all(
        "SELECT DISTINCT metadata ->> 'upload' AS name FROM tasks "
        "WHERE left(metadata ->> 'upload', 100) = ANY(%s)",
        (list(names),),
    )
    return {row["name"] for row in rows}


def exported(chosen: TaskFilter = ALL) -> Iterator[ListedTask]:
    """Tasks oldest first, as they were when the export began; memory does not grow with their
    number."""
    where, parameters = chosen.where()
    # A server-side cursor needs a transaction, and peewee's connections commit by themselves.
    with database.atomic():
        # The reader sets the pace, and the cursor locks no row.
        fetch_all("SET LOCAL idle_in_transaction_session_timeout = 0")
        fetch_all(
            f"DECLARE kos_export NO SCROLL CURSOR FOR SELECT {TASK_FIELDS} {FROM} {where} "
            "ORDER BY t.created_at, t.id",
            parameters,
        )
        while rows := fetch_all(f"FETCH FORWARD {EXPORT_ROWS} FROM kos_export"):
            yield from (value_of(ListedTask, row) for row in rows)
        fetch_all("CLOSE kos_export")


def facets(task_ids: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, int]]:
    """For each of these `FACETS`, how many of the tasks have which value; for "tag", how many have
    which of the most frequent tags."""
    columns = ", ".join(f"{FACETS[name]} AS {name}" for name in names)
    sets = ", ".join(f"({name})" for name in names)
    nothing = ", ".join("NULL" for _ in names)
    # The tasks are read once for all counts.
    rows = fetch_all(
        f"WITH found AS MATERIALIZED (SELECT {columns}, t.metadata -> 'tags' AS tags {FROM} "
        "WHERE t.id = ANY(%(ids)s::uuid[])) "
        f"SELECT {', '.join(names)}, NULL AS tag, count(*) AS n FROM found "
        f"GROUP BY GROUPING SETS ({sets}) UNION ALL "
        f"(SELECT {nothing}, tag, count(*) FROM found, jsonb_array_elements_text("
        "CASE jsonb_typeof(tags) WHEN 'array' THEN tags ELSE '[]' END) AS tag "
        "WHERE tag IS NOT NULL GROUP BY tag ORDER BY count(*) DESC, tag LIMIT %(most_tags)s)",
        {"ids": list(task_ids), "most_tags": MOST_TAGS},
    )
    counts: dict[str, dict[str, int]] = {name: {} for name in (*names, "tag")}
    for row in rows:
        for name, found in counts.items():
            if row[name] is not None:
                found[row[name]] = row["n"]
    return {name: dict(sorted(found.items())) for name, found in counts.items()}


def _ids(where: str, parameters: Mapping[str, Any], *, before: str = "") -> list[str]:
    rows = fetch_all(
        f"{before}SELECT t.id::text AS id FROM tasks t {where} "
        "ORDER BY t.created_at DESC, t.id DESC LIMIT %(limit)s OFFSET %(offset)s",
        parameters,
    )
    return [row["id"] for row in rows]


def _searched(where: str, parameters: Mapping[str, Any], windows: Sequence[int]) -> list[str]:
    """Looks among the newest tasks first, since a frequent word may be in every task.

    Postgres takes any word for a rare one and, for the newest tasks, would make the words of each
    task anew. Here it must use the index of words, together with that of the times.
    """
    offset, limit = parameters["offset"], parameters["limit"]
    for window in windows if limit is not None else ():
        row = fetch_one(_EDGE, (window,)) if window > offset + limit else None
        if row is None:
            continue
        newer = {**parameters, "offset": 0, "limit": offset + limit, "edge": row["edge"]}
        found = _by_words(f"{where} AND t.created_at >= %(edge)s", newer)
        if len(found) == offset + limit:
            return found[offset:]
    return _by_words(where, parameters)


def _by_words(where: str, parameters: Mapping[str, Any]) -> list[str]:
    with nullcontext() if database.in_transaction() else database.atomic():
        found = _ids(where, parameters, before=_BITMAPS.format("off"))
        database.execute_sql(_BITMAPS.format("on"))
    return found


def _uuid_range(prefix: str) -> tuple[str, str]:
    digits = prefix.replace("-", "").lower()
    low, high = digits.ljust(32, "0"), digits.ljust(32, "f")
    return low, high
