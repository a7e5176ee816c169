"""Finds out how many requests a server really works on at once, from how its answers overlapped.

Most servers take any number of requests and let all but a few wait (Ollama works on
``OLLAMA_NUM_PARALLEL``, 1 by default, and reports it nowhere). The first tokens show it: with more
requests in flight than the server works on, one gets its first token only after another has ended.

Pure: calls that ended go in, a number comes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

SHARE_ADVANCING = 0.25
"""A server works on n requests at once if all n produced tokens for at least this share of the time
in which n were in flight. Below it, the overlap is only an end that was noted late. A long prefill
keeps the share well below one on a server that does work on n."""
FEWEST_WAITS = 4
"""So many requests must have waited for the end of another one: one or two are chance."""
SHARE_NOTED_LATE = 0.1
"""An end is noted late by up to this share of an answer's time."""
MOST_AHEAD = 1
"""Sent beyond what a server works on, so that it never waits for the network between two."""


@dataclass(frozen=True, slots=True)
class TimedCall:
    """One request: when it was sent, when its first token came, when its last one came."""

    sent_at: datetime
    first_token_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Parallelism:
    """``works`` requests advanced at once; ``is_all``: more were sent, and those waited."""

    works: int
    is_all: bool


def parallelism(calls: Iterable[TimedCall]) -> Parallelism:
    """How many requests the server works on at once, as far as the calls show."""
    known = sorted(calls, key=lambda call: call.sent_at)
    shares = _shares_advancing(known)
    most = max((level for level, share in shares.items() if share >= SHARE_ADVANCING), default=1)
    waited = sum(_waited_for_another(call, known, most) for call in known)
    return Parallelism(most, is_all=waited >= FEWEST_WAITS)


def learned(before: int | None, seen: Parallelism) -> int | None:
    """The parallelism known after ``seen``: kept while nothing new shows, dropped when refuted."""
    if seen.is_all:
        return seen.works
    return None if before is not None and seen.works > before else before


def _shares_advancing(calls: Sequence[TimedCall]) -> dict[int, float]:
    """Level -> of the time with at least so many in flight, the share with so many advancing."""
    steps = sorted(
        step
        for call in calls
        for step in (
            (call.sent_at, 1, 0),
            (call.first_token_at, 0, 1),
            (call.ended_at, -1, -1),
        )
    )
    in_flight = advancing = 0
    in_flight_seconds: dict[int, float] = {}
    advancing_seconds: dict[int, float] = {}
    for (at, sent, began), (until, _, _) in pairwise(steps):
        in_flight, advancing = in_flight + sent, advancing + began
        seconds = (until - at).total_seconds()
        for level in range(1, in_flight + 1):
            in_flight_seconds[level] = in_flight_seconds.get(level, 0.0) + seconds
        for level in range(1, advancing + 1):
            advancing_seconds[level] = advancing_seconds.get(level, 0.0) + seconds
    return {
        level: advancing_seconds.get(level, 0.0) / seconds
        for level, seconds in in_flight_seconds.items()
        if seconds
    }


def _waited_for_another(call: TimedCall, calls: Sequence[TimedCall], most: int) -> bool:
    """Whether ``most`` others were in flight as ``call`` was sent, and it began after an end."""
    began = call.first_token_at + SHARE_NOTED_LATE * (call.ended_at - call.first_token_at)
    ahead = [
        other.ended_at
        for other in calls
        if other is not call and other.sent_at <= call.sent_at < other.ended_at
    ]
    return len(ahead) >= most and min(ahead) <= began
