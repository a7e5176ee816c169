"""Work that is not in the remaining blocks: sent tasks, and tasks in back-off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.base import fetch_all
from models.times import within_limits

MOST_DELAYED = 1000
MOST_COUNTED = 10_000


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


@dataclass(frozen=True, slots=True)
class BackedOff:
    """Tasks that wait for the time of their next try: ``delays`` are the seconds until each may
    begin, soonest first, at most :data:`MOST_DELAYED`; ``count`` is at most :data:`MOST_COUNTED`.
    """

    delays: Sequence[float] = ()
    count: int = 0


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


def backed_off() -> BackedOff:
    """The tasks in back-off at this moment."""
    rows = fetch_all(_BACKED_OFF, {"listed": MOST_DELAYED, "counted": MOST_COUNTED})
    return BackedOff([row["seconds"] for row in rows], rows[0]["n"] if rows else 0)


_BACKED_OFF = f"""
SELECT extract(epoch FROM at - now())::float8 AS seconds, count(*) OVER () AS n
FROM (SELECT {within_limits("next_attempt_at")} AS at FROM tasks
  WHERE status = 'pending' AND next_attempt_at > now()
  ORDER BY next_attempt_at LIMIT %(counted)s) soonest
ORDER BY at LIMIT %(listed)s
"""


def left_of(task_ids: Sequence[str]) -> list[str]:
    """Those of these tasks that have not ended."""
    rows = fetch_all(
        "SELECT id::text FROM tasks WHERE id = ANY(%s::uuid[]) "
        "AND status IN ('pending', 'queued', 'in_progress')",
        (list(task_ids),),
    )
    return [row["id"] for row in rows]
