"""Counts, ages and places of tasks. Read only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models import counts
from models.base import as_utc, fetch_all, fetch_one, read_utc
from models.times import within_limits


@dataclass(frozen=True, slots=True)
class ReportedProgress:
    """How far a running task was at its last heartbeat; ``phase`` is None before the first."""

    phase: str | None = None
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class TaskInProgress:
    """A task in progress. ``title``, ``backend`` and ``model`` are empty where the row has none."""

    id: str
    title: str
    backend: str
    model: str
    started_at: datetime | None
    progress: ReportedProgress


@dataclass(frozen=True, slots=True)
class RunningSince:
    """The backend and model at which a task runs, and since when."""

    backend: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Leases:
    """The number of running rows with expired leases, and the seconds that the oldest has run."""

    late: int
    longest_seconds: float


@dataclass(frozen=True, slots=True)
class PendingGroup:
    """Waiting tasks of one category and priority; ``delayed`` of them wait for a time to come."""

    category: str
    priority: str
    count: int
    oldest: datetime | None
    delayed: int


@dataclass(frozen=True, slots=True)
class EndedGroup:
    """Tasks of one status, backend and model, with the tokens and model loads they took."""

    status: str | None
    backend: str | None
    model: str | None
    tasks: int
    tokens: int | None
    loads: int | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed task and its error."""

    title: str | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class TaskAnswer:
    """The result of one task: ``text`` is its answer, or the reason why there is none."""

    id: str
    title: str | None
    completed: bool
    text: str


def progress_in(value: object) -> ReportedProgress:
    """Read the column ``progress``, in which foreign SQL may have written anything."""
    if not isinstance(value, Mapping):
        return ReportedProgress()
    phase, tokens = value.get("phase"), value.get("tokens")
    return ReportedProgress(str(phase) if phase else None, tokens if isinstance(tokens, int) else 0)


# One read of the index ``kos_tasks_pending_groups`` for each group.
_OLDEST = """
SELECT of_a_group.category, of_a_group.priority,
  (SELECT t.created_at FROM tasks t WHERE t.status = 'pending'
    AND left(coalesce(t.category::text, ''), 100) = of_a_group.category
    AND t.priority::text = of_a_group.priority
    ORDER BY t.created_at LIMIT 1) AS oldest
FROM unnest(%(categories)s::text[], %(priorities)s::text[]) AS of_a_group(category, priority)
"""


def pending_groups() -> list[PendingGroup]:
    """Every group of waiting tasks, unordered."""
    waiting, later = counts.pending(), counts.delayed()
    parameters = {"categories": [c for c, _ in waiting], "priorities": [p for _, p in waiting]}
    return [
        PendingGroup(
            category=row["category"],
            priority=row["priority"],
            count=waiting[row["category"], row["priority"]],
            oldest=as_utc(row["oldest"]),
            delayed=later.get((row["category"], row["priority"]), 0),
        )
        for row in fetch_all(_OLDEST, parameters)
    ]


def counts_since(since: datetime, statuses: Sequence[str]) -> dict[str, int]:
    """Tasks created at ``since`` or later in those statuses; no status counts as pending."""
    rows = fetch_all(
        "SELECT coalesce(status, 'pending') AS status, count(*) AS n FROM tasks "
        "WHERE (status IS NULL OR status = ANY(%(known)s)) AND created_at >= %(since)s GROUP BY 1",
        {"since": since, "known": list(statuses)},
    )
    return {row["status"]: row["n"] for row in rows}


def unknown_statuses(known: Sequence[str]) -> dict[str, int]:
    """Tasks by a status outside ``known``: foreign rows may hold any word."""
    rows = fetch_all(
        "SELECT status, count(*) AS n FROM tasks WHERE status <> ALL(%s) GROUP BY 1 ORDER BY 1",
        (list(known),),
    )
    return {row["status"]: row["n"] for row in rows}


def queued_by_backend() -> dict[str, int]:
    """Rows in ``queued`` by backend; the empty name where a row has none."""
    rows = fetch_all(
        "SELECT coalesce(backend, '') AS backend, count(*) AS n FROM tasks "
        "WHERE status = 'queued' GROUP BY 1"
    )
    return {row["backend"]: row["n"] for row in rows}


def running(limit: int) -> list[TaskInProgress]:
    """Tasks in progress, the oldest first."""
    rows = fetch_all(
        "SELECT id::text, title, backend, model, started_at, progress FROM tasks "
        "WHERE status = 'in_progress' ORDER BY started_at LIMIT %s",
        (limit,),
    )
    return [_running(row) for row in rows]


def running_since() -> list[RunningSince]:
    """Every running task with a known backend, model and start."""
    rows = fetch_all(
        "SELECT backend, started_at FROM tasks WHERE status = 'in_progress' "
        "AND backend IS NOT NULL AND started_at IS NOT NULL"
    )
    return [RunningSince(row["backend"], read_utc(row["started_at"])) for row in rows]


def computing_at(backend: str) -> list[TaskInProgress]:
    """Tasks for which a model of ``backend`` generates now, by their heartbeats."""
    rows = fetch_all(
        "SELECT id::text, title, backend, model, started_at, progress FROM tasks "
        "WHERE status = 'in_progress' AND backend = %s "
        "AND progress->>'phase' IN ('prefill', 'decoding')",
        (backend,),
    )
    return [_running(row) for row in rows]


def running_leases() -> Leases:
    """Expired and oldest leases of running rows."""
    row = fetch_one(
        "SELECT count(*) FILTER (WHERE lease_expires_at < now()) AS late, "
        "coalesce(max(extract(epoch FROM now() - started_at)), 0)::float AS longest "
        "FROM tasks WHERE status = 'in_progress' AND (started_at IS NULL OR isfinite(started_at))"
    )
    return Leases(row["late"], row["longest"]) if row else Leases(0, 0.0)


def oldest_pending() -> datetime | None:
    """When the task that has waited longest was created."""
    row = fetch_one(
        "SELECT created_at FROM tasks WHERE status = 'pending' AND created_at IS NOT NULL "
        "ORDER BY created_at LIMIT 1"
    )
    return as_utc(row["created_at"]) if row else None


def oldest_untried_seconds() -> float | None:
    """How long the oldest assigned task without an attempt has waited."""
    row = fetch_one(
        "SELECT extract(epoch FROM now() - min(created_at))::float AS age FROM tasks "
        "WHERE status = 'pending' AND next_attempt_at IS NULL AND isfinite(created_at) "
        "AND assignee_expert_id IS NOT NULL AND attempt_count = 0"
    )
    return row["age"] if row else None


_LAST_MOVES = f"""
SELECT extract(epoch FROM now() - greatest(sent, ended))::float AS moved,
  extract(epoch FROM now() - sent)::float AS sent
FROM (SELECT greatest(
    (SELECT {within_limits("max(queued_at)")} FROM tasks WHERE status IN ('queued', 'in_progress')),
    (SELECT started_at FROM kos_attempts ORDER BY id DESC LIMIT 1)) AS sent,
  (SELECT max(finished_at) FROM kos_attempts) AS ended) moments
"""


def since_last_moves() -> tuple[float, float]:
    """Seconds since the last dispatch, claim or outcome of any task, and since the last dispatch or
    claim; infinite where there was none."""
    row = fetch_one(_LAST_MOVES) or {"moved": None, "sent": None}
    moved, sent = (row[name] for name in ("moved", "sent"))
    return (
        float("inf") if moved is None else moved,
        float("inf") if sent is None else sent,
    )


def ended_groups(task_ids: Sequence[str]) -> list[EndedGroup]:
    """These tasks in groups of equal results."""
    rows = fetch_all(
        """
        SELECT t.status, t.backend, t.model, count(DISTINCT t.id) AS tasks,
          sum(a.completion_tokens) AS tokens,
          count(*) FILTER (WHERE a.load_seconds > 0.01) AS loads
        FROM tasks t LEFT JOIN kos_attempts a ON a.task_id = t.id
        WHERE t.id = ANY(%s::uuid[]) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """,
        (list(task_ids),),
    )
    return [EndedGroup(**row) for row in rows]


def failures_among(task_ids: Sequence[str], *, limit: int) -> list[Failure]:
    """The failed ones of these tasks, oldest first."""
    rows = fetch_all(
        "SELECT title, last_error FROM tasks WHERE id = ANY(%s::uuid[]) AND status = 'failed' "
        "ORDER BY created_at LIMIT %s",
        (list(task_ids), limit),
    )
    return [Failure(**row) for row in rows]


def answers_among(task_ids: Sequence[str], *, besides: Collection[str] = ()) -> list[TaskAnswer]:
    """The ended ones of these tasks, in that order, without those in ``besides``."""
    rows = fetch_all(
        "SELECT id::text, title, status = 'completed' AS completed, "
        "coalesce(CASE WHEN status = 'completed' THEN result ELSE last_error END, '') AS text "
        "FROM tasks WHERE id = ANY(%s::uuid[]) AND NOT id = ANY(%s::uuid[]) "
        "AND status IN ('completed', 'failed', 'cancelled') ORDER BY completed_at NULLS LAST",
        (list(task_ids), list(besides)),
    )
    return [TaskAnswer(**row) for row in rows]


def blocks_used(task_ids: Sequence[str]) -> int:
    """The number of blocks in which these tasks ran."""
    rows = fetch_all(
        "SELECT count(DISTINCT block_id) AS n FROM kos_attempts WHERE task_id = ANY(%s::uuid[])",
        (list(task_ids),),
    )
    return int(rows[0]["n"])


def _running(row: Mapping[str, Any]) -> TaskInProgress:
    return TaskInProgress(
        id=row["id"],
        title=row["title"] or "",
        backend=row["backend"] or "",
        model=row["model"] or "",
        started_at=as_utc(row["started_at"]),
        progress=progress_in(row["progress"]),
    )
