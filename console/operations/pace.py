"""How fast work goes, and when what is left will be done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.attempt import MinuteSums
from models.base import Row
from models.states import AttemptOutcome

RATE_MINUTES = 10
IDLE_MINUTES = 3
"""This minute, which has hardly begun, and two whole ones."""
MARGIN = 0.1
"""Of the time left: two estimates that agree are still no certainty."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Tasks completed a second, lately, and how many failed in the hour before now."""

    per_second: float = 0.0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class PlanEnd:
    """The plan in force: how many tasks it still holds, and when it expects the last to be done."""

    tasks: int
    finish: datetime


@dataclass(frozen=True, slots=True)
class Eta:
    """The last of the tasks that are left is done between these moments."""

    earliest: datetime
    latest: datetime

    @property
    def middle(self) -> datetime:
        return self.earliest + (self.latest - self.earliest) / 2


def pace_of(sums: Iterable[MinuteSums], *, now: datetime) -> Pace:
    """``sums`` are those of the hour before ``now``."""
    minute = now.replace(second=0, microsecond=0)
    completed = [0] * RATE_MINUTES
    failed = 0
    for one in sums:
        back = int((minute - one.minute).total_seconds() // 60)
        if one.outcome == AttemptOutcome.COMPLETED and 0 <= back < RATE_MINUTES:
            completed[RATE_MINUTES - 1 - back] += one.count
        failed += one.count * (one.outcome == AttemptOutcome.FAILED)
    return Pace(recent_rate(completed, now=now), failed)


def recent_rate(completed: Sequence[int], *, now: datetime) -> float:
    """Tasks a second over the last ten minutes, or since the first of them that saw any.

    ``completed`` counts minute by minute, the present one last. 0 where nothing was completed in
    this minute and the two before it: nothing runs.
    """
    last = completed[-RATE_MINUTES:]
    if not any(last[-IDLE_MINUTES:]):
        return 0.0
    busy = next((index for index, count in enumerate(last) if count), None)
    if busy is None:
        return 0.0
    seconds = (len(last) - busy - 1) * 60 + max(1, now.second)
    return sum(last) / seconds


def plan_end(blocks: Sequence[Row]) -> PlanEnd | None:
    """Of the open blocks, as ``models.block.open_blocks`` reads them; None without a plan."""
    tasks = sum(row["remaining"] + row["in_flight"] for row in blocks)
    ends = [
        row["created_at"] + timedelta(seconds=row["expected_finish_seconds"])
        for row in blocks
        if row["expected_finish_seconds"] > 0
    ]
    return PlanEnd(tasks, max(ends)) if tasks and ends else None


def eta(left: int, *, pace: Pace, plan: PlanEnd | None, now: datetime) -> Eta | None:
    """When ``left`` tasks are done, by the recent rate and by the plan; None where neither says.

    The plan holds a window of the backlog: what is beyond it is expected to go as fast.
    """
    estimates = []
    if pace.per_second > 0:
        estimates.append(left / pace.per_second)
    if plan is not None and plan.finish > now:
        planned_seconds = (plan.finish - now).total_seconds()
        estimates.append(planned_seconds * max(1.0, left / plan.tasks))
    if not estimates:
        return None
    return Eta(
        now + timedelta(seconds=min(estimates) * (1 - MARGIN)),
        now + timedelta(seconds=max(estimates) * (1 + MARGIN)),
    )
