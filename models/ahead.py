"""Work that is not in the remaining blocks: sent tasks, and tasks in back-off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.base import fetch_all
from models.times import within_limits

MOST_DELAYED = 1000


@dataclass(frozen=True, slots=True)
class SentTask:
    """A queued or running task. ``elapsed_seconds`` is None before it starts; the expected seconds
    and their variation come from its block, None where it has none."""

    task_id: str
    backend: str
    block_id: str | None
    elapsed_seconds: float | None
    task_seconds: float | None
    task_variation: float | None


def sent() -> list[SentTask]:
    """All queued and running tasks."""
    return [SentTask(**row) for row in fetch_all(_SENT)]


_SENT = f"""
SELECT t.id::text AS task_id, coalesce(t.backend, '') AS backend, t.block_id::text,
  CASE WHEN t.status = 'in_progress'
    THEN extract(epoch FROM clock_timestamp() - ({within_limits("t.started_at")}))::float8
  END AS elapsed_seconds,
  b.task_seconds, b.task_variation
FROM tasks t LEFT JOIN kos_blocks b ON b.id = t.block_id
WHERE t.status IN ('queued', 'in_progress')
"""


def delays() -> list[float]:
    """Seconds until each task in back-off may begin, soonest first; at most a thousand."""
    rows = fetch_all(
        f"""
        SELECT extract(epoch FROM ({within_limits("next_attempt_at")}) - now())::float8 AS seconds
        FROM tasks WHERE status = 'pending' AND next_attempt_at > now()
        ORDER BY next_attempt_at LIMIT %s
        """,
        (MOST_DELAYED,),
    )
    return [row["seconds"] for row in rows]


def left_of(task_ids: Sequence[str]) -> list[str]:
    """Those of these tasks that have not ended."""
    rows = fetch_all(
        "SELECT id::text FROM tasks WHERE id = ANY(%s::uuid[]) "
        "AND status IN ('pending', 'queued', 'in_progress')",
        (list(task_ids),),
    )
    return [row["id"] for row in rows]
