"""How many requests a server works on at once, seen from how its answers overlap."""

from __future__ import annotations

import heapq
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from jobs.policy.parallelism import Parallelism, TimedCall, learned, parallelism

START = datetime(2026, 3, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def served(
    durations: list[float], *, slots: int, in_flight: int, prefill: float = 0.2, late: float = 0.0
) -> list[TimedCall]:
    """Calls of a server with so many slots, and of a client that keeps so many in flight.

    ``late`` is how long after its last token a call is noted as ended.
    """
    free = [0.0] * slots
    sent = [0.0] * in_flight
    calls = []
    for seconds in durations:
        sent_at = heapq.heappop(sent)
        begins = max(sent_at, heapq.heappop(free)) + prefill
        ended = begins + seconds
        heapq.heappush(free, ended)
        heapq.heappush(sent, ended + late)
        calls.append(TimedCall(at(sent_at), at(begins), at(ended + late)))
    return calls


DURATIONS = st.lists(st.floats(3.0, 12.0), min_size=30, max_size=60)


@given(DURATIONS, st.integers(1, 6), st.integers(1, 5), st.floats(0.0, 0.4))
def test_a_server_asked_for_more_shows_how_many_it_works_on(
    durations: list[float], slots: int, excess: int, late: float
) -> None:
    calls = served(durations, slots=slots, in_flight=slots + excess, late=late)

    assert parallelism(calls) == Parallelism(slots, is_all=True)


@given(DURATIONS, st.integers(1, 8), st.integers(0, 8))
def test_a_server_never_asked_for_more_shows_nothing(
    durations: list[float], in_flight: int, spare: int
) -> None:
    calls = served(durations, slots=in_flight + spare, in_flight=in_flight)

    assert parallelism(calls) == Parallelism(in_flight, is_all=False)


def test_too_few_waits_are_chance() -> None:
    assert not parallelism(served([5.0] * 4, slots=1, in_flight=2)).is_all
    assert not parallelism([]).is_all


def test_a_long_prefill_is_no_queue() -> None:
    calls = served([5.0, 6.0, 7.0, 8.0] * 8, slots=8, in_flight=4, prefill=2.0)

    assert not parallelism(calls).is_all


def test_what_was_learned_stays_until_more_advance_at_once() -> None:
    assert learned(None, Parallelism(4, is_all=False)) is None
    assert learned(None, Parallelism(2, is_all=True)) == 2
    assert learned(2, Parallelism(1, is_all=False)) == 2
    assert learned(2, Parallelism(3, is_all=False)) is None
