"""A server that stands still is noticed in its time, and a slow caller is no such server."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.upstream import _StallTimer
from llm.errors import StallTimeout

SECONDS = 120.0
START = 1000.0


class Loop:
    """Timers on a clock of its own."""

    def __init__(self) -> None:
        self.now = START
        self.timers: list[tuple[float, int, Callable[[], None]]] = []

    def call_later(self, seconds: float, call: Callable[[], None]) -> Any:
        entry = (self.now + seconds, len(self.timers), call)
        heapq.heappush(self.timers, entry)
        return SimpleNamespace(cancel=lambda: self.timers.remove(entry))

    def run_until(self, moment: float) -> None:
        while self.timers and self.timers[0][0] <= moment:
            self.now, _, call = heapq.heappop(self.timers)
            call()
        self.now = moment


@pytest.mark.parametrize(
    ("chunks", "noticed_at"),
    [
        ([], 120.0),
        ([(100.0, 0.0)], 220.0),
        ([(50.0, 0.0), (100.0, 0.0), (150.0, 0.0)], 270.0),
        ([(119.0, 0.0), (238.0, 0.0)], 358.0),
        ([(10.0, 490.0)], 620.0),
    ],
    ids=["never a byte", "one chunk", "some chunks", "just in time", "a caller that reads slowly"],
)
def test_a_stall_counts_from_the_moment_the_read_began(
    monkeypatch: pytest.MonkeyPatch, chunks: list[tuple[float, float]], noticed_at: float
) -> None:
    """``chunks`` are (when one came, seconds until the caller had taken it)."""
    loop, seen = Loop(), list[tuple[float, BaseException]]()
    monkeypatch.setattr("asyncio.get_running_loop", lambda: loop)
    monkeypatch.setattr("time.monotonic", lambda: loop.now)
    content = SimpleNamespace(set_exception=lambda error: seen.append((loop.now, error)))
    timer = _StallTimer(cast(Any, content), SECONDS)
    timer.waits_since = START
    for came, taken in chunks:
        loop.run_until(START + came)
        timer.waits_since = None
        loop.run_until(START + came + taken)
        timer.waits_since = loop.now

    loop.run_until(10_000)

    ((moment, error),) = seen
    assert moment - START == noticed_at
    assert isinstance(error, StallTimeout)


def test_an_answer_that_has_ended_leaves_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop()
    monkeypatch.setattr("asyncio.get_running_loop", lambda: loop)

    _StallTimer(cast(Any, None), SECONDS).end()

    assert loop.timers == []
