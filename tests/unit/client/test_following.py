"""How long a client waits: through restarts of the dashboard, and not for ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kos_client import following
from kos_client.errors import TimedOut, Unreachable
from kos_client.following import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    RESTART_SECONDS,
    ended,
    until_ended,
)
from kos_client.values import Batch, Task, TaskPage

OPEN, ENDED = Batch("batch_1", "in_progress"), Batch("batch_1", "completed")
DONE = Task("b", "completed")


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(following, "time", made)
    return made


def dashboard(clock: Clock, *outages: tuple[float, float], until: float) -> Callable[[], Batch]:
    """Unreachable from each start to its end; the batch has ended at ``until``."""

    def look() -> Batch:
        if any(start <= clock.now < end for start, end in outages):
            raise Unreachable("refused")
        return ENDED if clock.now >= until else OPEN

    return look


@pytest.mark.parametrize(
    "outages",
    [
        [(0.0, RESTART_SECONDS - 2)],
        [(10.0, 10 + RESTART_SECONDS - 2)],
        [(5.0, 25.0), (60.0, 80.0), (90.0, 110.0)],
    ],
)
def test_every_restart_of_the_dashboard_has_its_own_time(
    clock: Clock, outages: list[tuple[float, float]]
) -> None:
    look = dashboard(clock, *outages, until=150)

    assert until_ended(look, timeout_seconds=1000) == ENDED


def test_a_dashboard_that_stays_away_ends_the_wait(clock: Clock) -> None:
    with pytest.raises(Unreachable):
        until_ended(dashboard(clock, (10, 10_000), until=20_000), timeout_seconds=1000)

    assert RESTART_SECONDS < clock.now - 10 < RESTART_SECONDS + 2 * LONGEST_PAUSE_SECONDS


@pytest.mark.parametrize("outages", [[], [(90.0, 10_000.0)]])
def test_the_wait_ends_with_its_time(clock: Clock, outages: list[tuple[float, float]]) -> None:
    with pytest.raises((TimedOut, Unreachable)):
        until_ended(dashboard(clock, *outages, until=20_000), timeout_seconds=100)

    assert clock.now == pytest.approx(100)


def test_pauses_grow_until_something_moves(clock: Clock) -> None:
    nothing = [TaskPage()] * 12
    pages = iter([*nothing, TaskPage((Task("a", "failed"),)), *nothing, TaskPage((DONE,))])

    found = list(ended(lambda **query: next(pages), ["a", "b"], timeout_seconds=1000))

    assert [task.id for task in found] == ["a", "b"]
    before, after = clock.pauses[:12], clock.pauses[12:]
    assert after[0] == FIRST_PAUSE_SECONDS
    for pauses in (before, after):
        assert pauses == sorted(pauses)
        assert pauses[-1] == LONGEST_PAUSE_SECONDS
