"""What waits, by category and priority: how many, how long already, and how long still."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from models import task_figures
from models.base import Row
from models.states import Priority, TaskState
from models.task_figures import PendingGroup

NEVER = datetime.max.replace(tzinfo=UTC)


def pending_groups() -> list[PendingGroup]:
    """The most urgent first, of one priority the oldest. Needs a session."""
    return sorted(
        task_figures.pending_groups(),
        key=lambda group: (-_rank(group.priority), group.oldest or NEVER),
    )


def counts(groups: Iterable[PendingGroup]) -> dict[str, int]:
    """Tasks by state, every state named; ``groups`` are the pending ones. Needs a session."""
    found = task_figures.counts_but_pending()
    found["pending"] = sum(group.count for group in groups)
    return {state.value: found.get(state.value, 0) for state in TaskState}


def with_estimates(
    groups: Iterable[PendingGroup], *, per_second: float, now: datetime
) -> list[Row]:
    """The groups as documents, with ``oldest_wait_seconds`` and ``eta_seconds``.

    ``eta_seconds`` is when the last task of the group is done: groups are served in order of
    priority at ``per_second`` tasks. None where nothing has been done lately.
    """
    rows = []
    ahead = 0
    for group in groups:
        ahead += group.count
        oldest = group.oldest
        rows.append(
            {
                "category": group.category,
                "priority": group.priority,
                "n": group.count,
                "oldest": oldest,
                "delayed": group.delayed,
                "oldest_wait_seconds": max(0.0, (now - oldest).total_seconds()) if oldest else None,
                "eta_seconds": ahead / per_second if per_second > 0 else None,
            }
        )
    return rows


def _rank(priority: str) -> int:
    ranks: Mapping[str, int] = {one.value: one.rank for one in Priority}
    return ranks.get(priority, Priority.MEDIUM.rank)
