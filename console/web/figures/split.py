"""Where the time of each backend went: decode, prefill, load, idle.

Busy time is the union of its attempts' spans, so that parallel calls count once; inside it the
shares are those of the summed measures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from models import attempt, task_figures
from models.attempt import Ended
from models.base import Row

WINDOW = timedelta(hours=1)
MAX_ATTEMPTS = 4000


@dataclass(frozen=True, slots=True)
class Span:
    """One call at a backend. Seconds."""

    start: datetime
    end: datetime
    load_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0


def time_splits(now: datetime) -> dict[str, Row]:
    """``{"decode", "prefill", "load", "idle", "window_seconds"}`` by backend; shares sum to 1.

    Over the last hour, or since the first attempt in it, or over as long as the newest four
    thousand attempts reach back. Needs a session.
    """
    ended = attempt.ended_since(now - WINDOW, newest=MAX_ATTEMPTS)
    spans: dict[str, list[Span]] = defaultdict(list)
    for call in ended:
        if call.backend is not None:
            spans[call.backend].append(_span(call))
    for running in task_figures.running_since():
        spans[running.backend].append(Span(running.started_at, now))
    if not spans:
        return {}
    start = max(now - WINDOW, min(span.start for every in spans.values() for span in every))
    if len(ended) == MAX_ATTEMPTS:
        start = max(start, ended[0].finished_at)
    return {name: _split(found, start=start, now=now) for name, found in spans.items()}


def _span(call: Ended) -> Span:
    duration = call.duration_seconds or 0.0
    first = min(call.first_token_seconds or 0.0, duration)
    return Span(
        start=call.started_at,
        end=call.finished_at,
        load_seconds=call.load_seconds or 0.0,
        prefill_seconds=max(0.0, first),
        decode_seconds=max(0.0, duration - first),
    )


def _split(spans: Sequence[Span], *, start: datetime, now: datetime) -> Row:
    window_seconds = max(1e-6, (now - start).total_seconds())
    busy_seconds = union_seconds([(span.start, span.end) for span in spans], start=start, end=now)
    load = sum(span.load_seconds for span in spans)
    prefill = sum(span.prefill_seconds for span in spans)
    decode = sum(span.decode_seconds for span in spans)
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
