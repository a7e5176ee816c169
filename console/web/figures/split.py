"""Where the time of each backend went: decode, prefill, load, idle.

Busy time is the union of its attempts' spans, so that parallel calls count once; inside it the
shares are those of the summed measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from models.base import Row, as_utc, fetch_all

WINDOW = timedelta(hours=1)
MAX_ATTEMPTS = 4000

_SPANS = """
SELECT backend, started_at, finished_at, coalesce(load_seconds, 0) AS load_seconds,
  coalesce(least(first_token_seconds, duration_seconds), 0) AS first_token_seconds,
  coalesce(duration_seconds, 0) AS duration_seconds
FROM kos_attempts WHERE finished_at >= %s AND backend IS NOT NULL
ORDER BY finished_at DESC LIMIT %s
"""
_RUNNING = """
SELECT backend, started_at FROM tasks
WHERE status = 'in_progress' AND backend IS NOT NULL AND started_at IS NOT NULL
"""


def time_splits(now: datetime) -> dict[str, Row]:
    """``{"decode", "prefill", "load", "idle", "window_seconds"}`` by backend; shares sum to 1.

    Over the last hour, or since the first attempt in it, or over as long as the newest four
    thousand attempts reach back. Needs a session.
    """
    rows = fetch_all(_SPANS, (now - WINDOW, MAX_ATTEMPTS))
    running = fetch_all(_RUNNING)
    if not rows and not running:
        return {}
    starts = [_utc(row["started_at"]) for row in (*rows, *running)]
    start = max(now - WINDOW, min(starts))
    if len(rows) == MAX_ATTEMPTS:
        start = max(start, _utc(rows[-1]["finished_at"]))
    backends = {row["backend"] for row in (*rows, *running)}
    return {
        name: _split(
            [row for row in rows if row["backend"] == name],
            [row for row in running if row["backend"] == name],
            start=start,
            now=now,
        )
        for name in backends
    }


def _split(rows: Sequence[Row], running: Sequence[Row], *, start: datetime, now: datetime) -> Row:
    window_seconds = max(1e-6, (now - start).total_seconds())
    spans = [(_utc(row["started_at"]), _utc(row["finished_at"])) for row in rows]
    spans += [(_utc(row["started_at"]), now) for row in running]
    busy_seconds = union_seconds(spans, start=start, end=now)
    load = sum(row["load_seconds"] for row in rows)
    prefill = sum(max(0.0, row["first_token_seconds"]) for row in rows)
    decode = sum(max(0.0, row["duration_seconds"] - row["first_token_seconds"]) for row in rows)
    whole = load + prefill + decode
    busy = min(1.0, busy_seconds / window_seconds)
    shares = (decode / whole, prefill / whole, load / whole) if whole else (1.0, 0.0, 0.0)
    return {
        "decode": shares[0] * busy,
        "prefill": shares[1] * busy,
        "load": shares[2] * busy,
        "idle": 1.0 - busy,
        "window_seconds": window_seconds,
    }


def union_seconds(
    spans: Sequence[tuple[datetime, datetime]], *, start: datetime, end: datetime
) -> float:
    """Seconds between ``start`` and ``end`` that at least one span covers."""
    covered = 0.0
    reached = start
    for begin, finish in sorted(spans):
        begin, finish = max(begin, reached), min(finish, end)
        if finish > begin:
            covered += (finish - begin).total_seconds()
            reached = finish
    return covered


def _utc(moment: datetime) -> datetime:
    known = as_utc(moment)
    assert known is not None
    return known
