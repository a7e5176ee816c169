"""What waits, by category and priority: how many, how long already, and how long still."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from models.base import Row, as_utc, fetch_all
from models.states import Priority, TaskState

NEVER = datetime.max.replace(tzinfo=UTC)

_COUNTS = """
SELECT status, count(*) AS n FROM tasks
WHERE status IN ('completed', 'failed', 'cancelled') GROUP BY 1
UNION ALL SELECT status, count(*) FROM tasks WHERE status IN ('queued', 'in_progress') GROUP BY 1
"""
_PENDING = """
SELECT category, priority, count(*) AS n,
  min(created_at) AS oldest,
  count(*) FILTER (WHERE next_attempt_at > now()) AS delayed
FROM tasks WHERE status = 'pending' GROUP BY 1, 2
"""


def pending_groups() -> list[Row]:
    """``{"category", "priority", "n", "oldest", "delayed"}``. Needs a session."""
    rows = fetch_all(_PENDING)
    for row in rows:
        row["category"], row["priority"] = row["category"] or "", row["priority"] or "medium"
        row["oldest"] = as_utc(row["oldest"])
    return sorted(rows, key=lambda row: (-_rank(row["priority"]), row["oldest"] or NEVER))


def counts(groups: Iterable[Row]) -> dict[str, int]:
    """Tasks by state, every state named; ``groups`` are the pending ones. Needs a session."""
    found = {row["status"]: row["n"] for row in fetch_all(_COUNTS)}
    found["pending"] = sum(row["n"] for row in groups)
    return {state.value: found.get(state.value, 0) for state in TaskState}


def with_estimates(groups: Iterable[Row], *, per_second: float, now: datetime) -> list[Row]:
    """The groups with ``oldest_wait_seconds`` and ``eta_seconds``: when the last of it is done.

    Groups are served in order of priority at ``per_second`` tasks; None where nothing has been
    done lately, for then nobody knows.
    """
    told = []
    ahead = 0
    for group in groups:
        ahead += group["n"]
        oldest = group["oldest"]
        told.append(
            {
                **group,
                "oldest_wait_seconds": max(0.0, (now - oldest).total_seconds()) if oldest else None,
                "eta_seconds": ahead / per_second if per_second > 0 else None,
            }
        )
    return told


def recent_rate(completed: tuple[int, ...], *, now: datetime) -> float:
    """Tasks a second over the last ten minutes, or since the first of them that saw any."""
    last = completed[-10:]
    busy = next((index for index, count in enumerate(last) if count), None)
    if busy is None:
        return 0.0
    seconds = (len(last) - busy - 1) * 60 + max(1, now.second)
    return sum(last) / seconds


def _rank(priority: str) -> int:
    ranks: Mapping[str, int] = {one.value: one.rank for one in Priority}
    return ranks.get(priority, Priority.MEDIUM.rank)
