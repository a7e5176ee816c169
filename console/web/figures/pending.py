"""What waits, by category and priority: how many, how long already, and how long still."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from jobs.policy.forecast import Forecast, SecondsRange
from models import task_figures
from models.block import PlacedKind
from models.states import Priority
from models.task_figures import PendingGroup

NEVER = datetime.max.replace(tzinfo=UTC)


def pending_groups() -> list[PendingGroup]:
    """The most urgent first, of one priority the oldest. Needs a session."""
    return sorted(
        task_figures.pending_groups(),
        key=lambda group: (-_rank(group.priority), group.oldest or NEVER),
    )


@dataclass(frozen=True, slots=True)
class EndRange:
    """Seconds from now: one time in ten it is done before ``low``, one in ten after ``high``."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class BacklogGroup:
    """``n`` waiting tasks of one category and priority; ``delayed`` of them are in back-off.

    ``eta`` is when the last of them is done, ``eta_seconds`` the middle of that range. Where the
    plan does not hold the whole group yet, it is when all waiting tasks are done. None where
    nothing is planned.
    """

    category: str
    priority: str
    n: int
    oldest: datetime | None
    delayed: int
    oldest_wait_seconds: float | None
    eta_seconds: float | None
    eta: EndRange | None


def with_estimates(
    groups: Iterable[PendingGroup],
    found: Forecast,
    places: Iterable[PlacedKind],
    *,
    now: datetime,
) -> list[BacklogGroup]:
    by_kind: dict[tuple[str, str], list[PlacedKind]] = {}
    for place in places:
        by_kind.setdefault((place.category, place.priority), []).append(place)
    return [_with_estimate(group, _end(group, by_kind, found), now) for group in groups]


def _end(
    group: PendingGroup, by_kind: Mapping[tuple[str, str], list[PlacedKind]], found: Forecast
) -> SecondsRange | None:
    places = by_kind.get((group.category, group.priority), [])
    if sum(place.count for place in places) < group.count:
        return found.end()
    return found.finish_of((place.block_id, place.before) for place in places) or found.end()


def _with_estimate(group: PendingGroup, end: SecondsRange | None, now: datetime) -> BacklogGroup:
    oldest = group.oldest
    return BacklogGroup(
        category=group.category,
        priority=group.priority,
        n=group.count,
        oldest=oldest,
        delayed=group.delayed,
        oldest_wait_seconds=max(0.0, (now - oldest).total_seconds()) if oldest else None,
        eta_seconds=end.middle if end else None,
        eta=EndRange(end.low, end.high) if end else None,
    )


def _rank(priority: str) -> int:
    ranks: Mapping[str, int] = {one.value: one.rank for one in Priority}
    return ranks.get(priority, Priority.MEDIUM.rank)
