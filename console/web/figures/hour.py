"""The last hour of attempts, minute by minute, kept in memory and topped up.

A finished minute never changes but for a commit that comes late, so each look reads only what
ended in the last two minutes; the whole hour is read once.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from models.base import Row, fetch_all

MINUTES = 60
LATE_COMMITS = timedelta(minutes=2)
COMPLETED = "completed"
NOT_A_FAILURE = frozenset({COMPLETED, "cancelled", "interrupted"})

_ENDED = """
SELECT date_trunc('minute', finished_at) AS minute, coalesce(backend, '') AS backend,
  coalesce(outcome, 'lost') AS outcome, error_code, count(*) AS n,
  coalesce(sum(prompt_tokens), 0) AS prompt_tokens,
  coalesce(sum(completion_tokens), 0) AS completion_tokens,
  coalesce(sum(duration_seconds), 0) AS duration_seconds,
  coalesce(sum(load_seconds), 0) AS load_seconds,
  coalesce(sum(least(first_token_seconds, duration_seconds)), 0) AS first_token_seconds
FROM kos_attempts WHERE finished_at >= %s GROUP BY 1, 2, 3, 4
"""


@dataclass(frozen=True, slots=True)
class Hour:
    """Sixty minutes up to now, oldest first. ``failures`` are (error code, how many)."""

    minutes: tuple[datetime, ...]
    completed: tuple[int, ...]
    failed: tuple[int, ...]
    tokens: tuple[int, ...]
    failures: tuple[tuple[str, int], ...]
    sums: dict[str, Row] = field(default_factory=dict)


class HourOfAttempts:
    """Needs a session for each ``look``. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minutes: dict[datetime, list[Row]] = {}

    def look(self, now: datetime) -> Hour:
        with self._lock:
            self._top_up(now)
            return _told(self._minutes, now)

    def _top_up(self, now: datetime) -> None:
        minute = now.replace(second=0, microsecond=0)
        oldest = minute - timedelta(minutes=MINUTES - 1)
        newest_known = max(self._minutes, default=oldest)
        since = max(oldest, min(newest_known, minute) - LATE_COMMITS)
        fresh: dict[datetime, list[Row]] = defaultdict(list)
        for row in fetch_all(_ENDED, (since,)):
            fresh[row["minute"]].append(row)
        kept = {at: rows for at, rows in self._minutes.items() if oldest <= at < since}
        self._minutes = kept | fresh | ({} if minute in fresh else {minute: []})


def _told(minutes: dict[datetime, list[Row]], now: datetime) -> Hour:
    newest = now.replace(second=0, microsecond=0)
    axis = tuple(newest - timedelta(minutes=back) for back in range(MINUTES - 1, -1, -1))
    every = [row for rows in minutes.values() for row in rows]
    failures = Counter[str]()
    for row in every:
        if row["outcome"] not in NOT_A_FAILURE:
            failures[row["error_code"] or row["outcome"]] += row["n"]
    return Hour(
        minutes=axis,
        completed=tuple(_ended(minutes.get(at, ()), well=True) for at in axis),
        failed=tuple(_ended(minutes.get(at, ()), well=False) for at in axis),
        tokens=tuple(sum(row["completion_tokens"] for row in minutes.get(at, ())) for at in axis),
        failures=tuple(failures.most_common()),
        sums=_sums(every),
    )


def _ended(rows: Iterable[Row], *, well: bool) -> int:
    if well:
        return sum(row["n"] for row in rows if row["outcome"] == COMPLETED)
    return sum(row["n"] for row in rows if row["outcome"] not in NOT_A_FAILURE)


def _sums(rows: Iterable[Row]) -> dict[str, Row]:
    names = (
        "n", "prompt_tokens", "completion_tokens", "duration_seconds", "load_seconds",
        "first_token_seconds",
    )  # fmt: skip
    sums: dict[str, Row] = {}
    for row in rows:
        mine = sums.setdefault(row["backend"], dict.fromkeys(names, 0))
        for name in names:
            mine[name] += row[name]
    return sums
