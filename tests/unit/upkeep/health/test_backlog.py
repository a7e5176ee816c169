"""When a backlog that does not move is red, and since when."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from jobs.planning.current_state import CurrentState
from jobs.policy.standstill import STANDSTILL_SECONDS
from jobs.policy.types import BackendView
from jobs.upkeep.health import backlog as module
from jobs.upkeep.health.backlog import NOWHERE_TO_GO, BacklogWatch
from llm.types import Scan
from tests.support.plan_builders import NOW, key, mlx, ollama

FAIRNESS_SECONDS = 100.0
LONG = 10 * STANDSTILL_SECONDS


@dataclass
class World:
    """Rows wait, two servers have room, and nothing has moved for long."""

    views: tuple[BackendView, ...] = (mlx(), ollama())
    running: int = 0
    total: int = 10
    eligible: bool = True
    unassigned: bool = False
    oldest_seconds: float = 5.0
    now: float = 1000.0
    events: list[str] = field(default_factory=list)

    def scan(self) -> Scan:
        return Scan(NOW, ())

    def read(self, scan: Scan) -> CurrentState:
        running = cast(Any, [object()] * self.running)
        return CurrentState(scan, running, (), self.views, self.total)

    def unservable(self, state: CurrentState) -> None:
        return None

    def since_cycle_seconds(self) -> float:
        return LONG


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr("time.monotonic", lambda: made.now)
    monkeypatch.setattr(module, "session", nullcontext)
    for name, answer in {
        "backlog.anything_eligible": lambda unservable: made.eligible,
        "backlog.unassigned": lambda limit: [object()] * made.unassigned,
        "task_figures.since_last_moves": lambda: (LONG, LONG),
        "task_figures.oldest_untried_seconds": lambda: made.oldest_seconds,
        "webhook.backlog_is_stuck": lambda *, since, problem: made.events.append(since),
    }.items():
        monkeypatch.setattr(f"models.{name}", answer)
    return made


@pytest.fixture
def watch(world: World) -> BacklogWatch:
    return BacklogWatch(cast(Any, world), cast(Any, world), FAIRNESS_SECONDS)


def is_red(world: World, watch: BacklogWatch) -> bool:
    """Whether it is red once it could have moved for as long as it takes."""
    watch.check()
    world.now += STANDSTILL_SECONDS
    return not watch.check().ok


CHAT = key("mlx", "chat")


@pytest.mark.parametrize(
    ("change", "red"),
    [
        ({}, True),
        ({"eligible": False}, False),
        ({"eligible": False, "unassigned": True}, True),
        ({"views": (mlx(in_flight=2), ollama(in_flight=2))}, False),
        ({"views": (mlx(unavailable="down"), ollama(in_flight=2))}, False),
        ({"views": (mlx(interactive=CHAT), ollama(in_flight=2))}, False),
        ({"running": 10, "total": 10}, False),
        ({"running": 9, "total": 10}, True),
        ({"running": 12, "total": 10, "views": (mlx(in_flight=12), ollama())}, False),
    ],
    ids=[
        "rows wait and slots are free", "nothing waits", "rows wait for an expert",
        "every slot is taken", "the free server is down", "people use the free server",
        "no more may run at all", "one more may run", "more run than may",
    ],
)  # fmt: skip
def test_it_stands_still_where_rows_wait_and_could_run(
    world: World, watch: BacklogWatch, change: dict[str, Any], red: bool
) -> None:
    for name, value in change.items():
        setattr(world, name, value)

    assert is_red(world, watch) == red


def test_a_standstill_is_one_event_from_its_beginning_to_its_end(
    world: World, watch: BacklogWatch
) -> None:
    assert is_red(world, watch)
    for _ in range(3):
        assert not watch.check().ok
    assert len(set(world.events)) == 1

    world.eligible = False
    assert watch.check().ok
    world.eligible = True

    assert watch.check().ok, "it could move only since now"
    assert watch.seconds_to_verdict() == STANDSTILL_SECONDS
    world.now += STANDSTILL_SECONDS
    assert not watch.check().ok
    assert len(set(world.events)) == 2


@pytest.mark.parametrize(
    ("age_seconds", "view", "red"),
    [
        (FAIRNESS_SECONDS * NOWHERE_TO_GO + 1, mlx(unavailable="down"), True),
        (FAIRNESS_SECONDS * NOWHERE_TO_GO - 1, mlx(unavailable="down"), False),
        (FAIRNESS_SECONDS * NOWHERE_TO_GO + 1, mlx(in_flight=2), False),
    ],
    ids=["no server for long", "no server for a while", "a busy server"],
)
def test_a_task_that_no_server_takes_is_red_after_a_multiple_of_the_fairness_bound(
    world: World, watch: BacklogWatch, age_seconds: float, view: BackendView, red: bool
) -> None:
    world.views, world.oldest_seconds = (view,), age_seconds

    assert watch.check().ok == (not red)
