"""The last hour of attempts, minute by minute, kept in memory and topped up.

A finished minute never changes but for a commit that comes late, so each look reads only what
ended in the last two minutes; the whole hour is read once.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from models import attempt
from models.attempt import MinuteSums

MINUTES = 60
LATE_COMMITS = timedelta(minutes=2)
COMPLETED = "completed"
NOT_A_FAILURE = frozenset({COMPLETED, "cancelled", "interrupted"})


@dataclass(frozen=True, slots=True)
class Hour:
    """Sixty minutes up to now, oldest first. ``failures`` counts by error code, the most
    frequent first, and by ``backend/model``."""

    minutes: tuple[datetime, ...]
    completed: tuple[int, ...]
    failed: tuple[int, ...]
    tokens: tuple[int, ...]
    failures: Mapping[str, Counter[str]]
    ended: tuple[MinuteSums, ...] = ()


class HourOfAttempts:
    """Needs a session for each ``look``. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minutes: dict[datetime, list[MinuteSums]] = {}

    def look(self, now: datetime) -> Hour:
        with self._lock:
            self._top_up(now)
            return _summary(self._minutes, now)

    def _top_up(self, now: datetime) -> None:
        minute = now.replace(second=0, microsecond=0)
        oldest = minute - timedelta(minutes=MINUTES - 1)
        newest_known = max(self._minutes, default=oldest)
        since = max(oldest, min(newest_known, minute) - LATE_COMMITS)
        fresh: dict[datetime, list[MinuteSums]] = defaultdict(list)
        for sums in attempt.by_minute(since):
            fresh[sums.minute].append(sums)
        kept = {at: rows for at, rows in self._minutes.items() if oldest <= at < since}
        self._minutes = kept | fresh | ({} if minute in fresh else {minute: []})


def _summary(minutes: dict[datetime, list[MinuteSums]], now: datetime) -> Hour:
    newest = now.replace(second=0, microsecond=0)
    axis = tuple(newest - timedelta(minutes=back) for back in range(MINUTES - 1, -1, -1))
    every = tuple(sums for of_minute in minutes.values() for sums in of_minute)
    failures: dict[str, Counter[str]] = defaultdict(Counter)
    for sums in every:
        if sums.outcome not in NOT_A_FAILURE:
            place = "/".join(filter(None, (sums.backend, sums.model)))
            failures[sums.error_code or sums.outcome][place] += sums.count
    return Hour(
        minutes=axis,
        completed=tuple(_ended(minutes.get(at, ()), well=True) for at in axis),
        failed=tuple(_ended(minutes.get(at, ()), well=False) for at in axis),
        tokens=tuple(sum(sums.completion_tokens for sums in minutes.get(at, ())) for at in axis),
        failures=dict(sorted(failures.items(), key=lambda one: -one[1].total())),
        ended=every,
    )


def _ended(sums: Iterable[MinuteSums], *, well: bool) -> int:
    if well:
        return sum(one.count for one in sums if one.outcome == COMPLETED)
    return sum(one.count for one in sums if one.outcome not in NOT_A_FAILURE)
