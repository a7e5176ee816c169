"""How fast work goes, and how much of it has to be done again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from models.attempt import MinuteSums
from models.states import AttemptOutcome

RATE_MINUTES = 10
IDLE_MINUTES = 3
"""This minute, which has hardly begun, and two whole ones."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Tasks completed a second, lately; how many failed in the hour before now, and which part of
    its attempts was followed by another."""

    per_second: float = 0.0
    failed: int = 0
    retried_share: float = 0.0


def pace_of(sums: Iterable[MinuteSums], *, now: datetime) -> Pace:
    """``sums`` are those of the hour before ``now``."""
    minute = now.replace(second=0, microsecond=0)
    completed = [0] * RATE_MINUTES
    failed = retried = ended = 0
    for one in sums:
        back = int((minute - one.minute).total_seconds() // 60)
        if one.outcome == AttemptOutcome.COMPLETED and 0 <= back < RATE_MINUTES:
            completed[RATE_MINUTES - 1 - back] += one.count
        failed += one.count * (one.outcome == AttemptOutcome.FAILED)
        retried += one.count * (one.outcome == AttemptOutcome.RETRIED)
        ended += one.count
    return Pace(recent_rate(completed, now=now), failed, retried / ended if ended else 0.0)


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
