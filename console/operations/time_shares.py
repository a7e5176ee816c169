"""Where the time of each backend went: decode, prefill, load, queueing there, idle. Attempts and
chats alike.

Busy time is the union of their spans, so that parallel calls count once; inside it the
shares are those of the summed measures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from jobs.policy.time_split import TimeSplit, time_split
from models import attempt, request, task_figures
from models.attempt import Ended
from models.request import ServedCall

WINDOW = timedelta(hours=1)
MAX_ATTEMPTS = 4000


@dataclass(frozen=True, slots=True)
class Span:
    """One call at a backend; of one that still runs, nothing is measured yet."""

    start: datetime
    end: datetime
    parts: TimeSplit = field(default_factory=TimeSplit)


@dataclass(frozen=True, slots=True)
class TimeShares:
    """What one backend did in ``window_seconds``: shares that sum to 1. ``inferred``: some answer
    came without the times of prefill and decode."""

    decode: float = 0.0
    prefill: float = 0.0
    load: float = 0.0
    queue: float = 0.0
    idle: float = 1.0
    window_seconds: float = 0.0
    inferred: bool = False


def time_shares(now: datetime) -> dict[str, TimeShares]:
    """By backend, over the last hour, or since the first attempt in it, or over as long as the
    newest four thousand attempts reach back. Needs a session."""
    ended = attempt.ended_since(now - WINDOW, newest=MAX_ATTEMPTS)
    spans: dict[str, list[Span]] = defaultdict(list)
    for call in ended:
        if call.backend is not None:
            spans[call.backend].append(_span(call))
    for chat in request.served_since(now - WINDOW, newest=MAX_ATTEMPTS):
        spans[chat.backend].append(_chat_span(chat))
    for running in task_figures.running_since():
        spans[running.backend].append(Span(running.started_at, now))
    if not spans:
        return {}
    start = max(now - WINDOW, min(span.start for every in spans.values() for span in every))
    if len(ended) == MAX_ATTEMPTS:
        start = max(start, ended[0].finished_at)
    return {name: _split(found, start=start, now=now) for name, found in spans.items()}


def _span(call: Ended) -> Span:
    parts = time_split(
        duration_seconds=call.duration_seconds,
        load_seconds=call.load_seconds,
        first_token_seconds=call.first_token_seconds,
        prefill_seconds=call.prefill_seconds,
        decode_seconds=call.decode_seconds,
    )
    return Span(start=call.started_at, end=call.finished_at, parts=parts)


def _chat_span(chat: ServedCall) -> Span:
    """The request log counts from the request on: its wait here is no part of the call."""
    parts = time_split(
        duration_seconds=chat.duration_seconds - chat.queue_seconds,
        load_seconds=chat.load_seconds,
        first_token_seconds=chat.first_token_seconds - chat.queue_seconds - chat.load_seconds,
    )
    start = chat.at + timedelta(seconds=chat.queue_seconds)
    return Span(start=start, end=chat.at + timedelta(seconds=chat.duration_seconds), parts=parts)


def _split(spans: Sequence[Span], *, start: datetime, now: datetime) -> TimeShares:
    window_seconds = max(1e-6, (now - start).total_seconds())
    busy_seconds = union_seconds([(span.start, span.end) for span in spans], start=start, end=now)
    busy = min(1.0, busy_seconds / window_seconds)
    sums = {
        "decode": sum(span.parts.decode for span in spans),
        "prefill": sum(span.parts.prefill for span in spans),
        "load": sum(span.parts.load for span in spans),
        "queue": sum(span.parts.queue_there for span in spans),
    }
    whole = sum(sums.values())
    if not whole:  # only calls that still run
        sums["decode"] = whole = 1.0
    return TimeShares(
        **{name: busy * seconds / whole for name, seconds in sums.items()},
        idle=1.0 - busy,
        window_seconds=window_seconds,
        inferred=any(span.parts.inferred for span in spans),
    )


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
