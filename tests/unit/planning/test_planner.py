"""When a cycle plans anew, what it plans over, and how long it dispatches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import pytest

from jobs.planning import planner as module
from jobs.planning.current_state import CurrentState
from jobs.planning.planner import POSTPONE_SECONDS, REPLAN_SECONDS, Planner
from jobs.policy.types import BackendView, OpenBlock, Plan, PolicyName, Snapshot, Unplaced
from jobs.queues.control_requests import DISPATCH_ONLY, INTERACTIVE_CHANGED, SERVERS_CHANGED
from jobs.settings.load import Settings
from llm.types import Scan
from models.backlog import Unservable
from models.block import NewBlock
from models.task_rows import InFlightTask
from tests.support.plan_builders import NOW, key, mlx, ollama, snapshot, task

SCAN = Scan(NOW, ())
ENDED = min(DISPATCH_ONLY)
VAIN = Unservable(frozenset({"away"}))
AHEAD = 1
WINDOW = 3


def block(backend: str, remaining: int) -> OpenBlock:
    return OpenBlock(backend, key(backend, "small"), remaining)


@dataclass
class World:
    """What a planner reads and writes. ``wanted`` and ``sent`` are those of each dispatch."""

    state: CurrentState = field(
        default_factory=lambda: CurrentState(
            SCAN, (), (block("mlx", 50), block("ollama", 50)), (mlx(), ollama()), total=10
        )
    )
    rows: Snapshot = field(default_factory=lambda: snapshot([task(1)]))
    dispatches: list[tuple[int, int]] = field(default_factory=list)
    unplaced: tuple[Unplaced, ...] = ()
    now: float = 1000.0
    looked_again: int = 0
    plans: list[list[NewBlock]] = field(default_factory=list)
    planned_over: list[Unservable] = field(default_factory=list)
    postponed: list[tuple[list[str], timedelta, str]] = field(default_factory=list)

    def scan(self) -> Scan:
        return SCAN

    def look_again(self) -> None:
        self.looked_again += 1

    def read(self, scan: Scan) -> CurrentState:
        return self.state

    def unservable(self, state: CurrentState) -> Unservable:
        return VAIN

    def dispatch(self, state: CurrentState) -> tuple[int, int]:
        return self.dispatches.pop(0) if self.dispatches else (0, 0)

    def completed(self, now: object, *, at_end: bool) -> None: ...

    def cycle_ended(self) -> None: ...

    def record(self, *written: object, **more: object) -> None: ...

    def postpone(self, task_ids: list[str], *, at: Any, reason: str) -> None:
        self.postponed.append((task_ids, at - NOW, reason))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()

    @contextmanager
    def locked(*key: object, **more: object) -> Iterator[Any]:
        yield lambda: None

    def window(*parts: object, unservable: Unservable) -> Snapshot:
        made.planned_over.append(unservable)
        return made.rows

    monkeypatch.setattr("time.monotonic", lambda: made.now)
    monkeypatch.setattr(module, "session", nullcontext)
    monkeypatch.setattr(module, "locked", locked)
    monkeypatch.setattr(module, "window_snapshot", window)
    monkeypatch.setattr(module, "open_blocks", lambda: made.state.blocks)
    monkeypatch.setattr(
        module, "plan", lambda seen: Plan(PolicyName.FIFO, (), (), unplaced=made.unplaced)
    )
    monkeypatch.setattr("models.counts.fold", lambda: None)
    monkeypatch.setattr(
        "models.block.replace_plan", lambda blocks, *, policy: made.plans.append(blocks)
    )
    monkeypatch.setattr("models.task.Task.postpone", made.postpone)
    return made


@pytest.fixture
def planner(world: World) -> Planner:
    """One that has just planned: nothing is stale."""
    parts = cast(Any, world)
    made = Planner(
        Settings(backends=(), dispatch_ahead=AHEAD, plan_window=WINDOW),
        state=parts, figures=parts, dispatcher=parts, log=parts,
    )  # fmt: skip
    made.run("insert")
    world.plans.clear()
    world.planned_over.clear()
    return made


def backends(world: World, *views: BackendView, blocks: tuple[OpenBlock, ...] = ()) -> None:
    world.state = replace(world.state, backends=views, blocks=blocks)


@pytest.mark.parametrize(
    ("reason", "after_seconds", "is_planned"),
    [
        ("insert", 0.1, False),
        ("insert", REPLAN_SECONDS, True),
        (ENDED, REPLAN_SECONDS, False),
    ],
)
def test_new_rows_are_planned_for_once_the_plan_has_rested(
    world: World, planner: Planner, reason: str, after_seconds: float, is_planned: bool
) -> None:
    world.now += after_seconds

    planner.run(reason)

    assert len(world.plans) == int(is_planned)


def test_rows_that_came_while_the_plan_rested_are_not_forgotten(
    world: World, planner: Planner
) -> None:
    planner.run("insert")
    assert world.plans == []
    world.now += REPLAN_SECONDS

    planner.run(ENDED)
    planner.run(ENDED)

    assert len(world.plans) == 1


@pytest.mark.parametrize(
    ("mlx_view", "is_planned"),
    [
        (mlx(in_flight=0), True),
        (mlx(slots=2, in_flight=2), True),
        (mlx(slots=2, in_flight=2 + AHEAD), False),
        (mlx(in_flight=0, unavailable="paused"), False),
    ],
    ids=["idle", "a place ahead is free", "full", "paused"],
)
def test_a_server_with_room_and_nothing_planned_has_a_plan_made(
    world: World, planner: Planner, mlx_view: BackendView, is_planned: bool
) -> None:
    backends(world, mlx_view, ollama(), blocks=(block("ollama", 5),))
    planner.run("insert")

    assert len(world.plans) == int(is_planned)


def test_an_idle_server_has_no_plan_made_while_no_more_may_run_at_all_of_them(
    world: World, planner: Planner
) -> None:
    backends(world, mlx(), ollama(slots=20, in_flight=10 + AHEAD))

    planner.run("insert")

    assert world.plans == []


def test_a_balance_is_found_anew_each_time_that_enough_was_sent(
    world: World, planner: Planner
) -> None:
    """The plan itself begins a new count: it does not follow at every cycle from then on."""
    plans = []
    for sent in (5, 0, 0, 5, 0, 0):
        world.dispatches = [(sent, sent)]
        world.now += REPLAN_SECONDS
        planner.run(ENDED)
        plans.append(len(world.plans))

    assert plans == [0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("must", [True, False])
def test_only_a_plan_that_must_be_replaces_one_although_nothing_waits(
    world: World, planner: Planner, must: bool
) -> None:
    world.rows = snapshot([])
    world.now += REPLAN_SECONDS

    planner.run("insert", replan=must)

    assert world.plans == ([[]] if must else [])


def test_without_servers_there_is_no_plan(world: World, planner: Planner) -> None:
    backends(world, mlx(unavailable="down"), ollama(unavailable="down"))

    planner.run("insert", replan=True)

    assert world.plans == []


def test_rows_that_ask_in_vain_are_left_out_and_those_without_a_place_are_postponed(
    world: World, planner: Planner
) -> None:
    world.unplaced = tuple(
        Unplaced(name, reason) for name, reason in (("a", "full"), ("b", "gone"), ("c", "full"))
    )

    planner.run("insert", replan=True)

    assert world.planned_over == [VAIN]
    wait = timedelta(seconds=POSTPONE_SECONDS)
    assert world.postponed == [(["a", "c"], wait, "full"), (["b"], wait, "gone")]


@pytest.mark.parametrize(
    ("dispatches", "sent"),
    [([(3, 3), (9, 9)], 3), ([(3, 1), (2, 2), (9, 9)], 3), ([(2, 0), (0, 0), (9, 9)], 0)],
)
def test_where_rows_have_changed_it_dispatches_again(
    world: World, planner: Planner, dispatches: list[tuple[int, int]], sent: int
) -> None:
    world.dispatches = dispatches

    assert planner.run(ENDED) == sent
    assert world.dispatches == [(9, 9)]


RUNNING = InFlightTask("t", "in_progress", "ollama", "small", None)


@pytest.mark.parametrize(
    ("rows", "running", "mlx_view", "is_fed"),
    [
        (WINDOW, (RUNNING,), mlx(slots=2, in_flight=2 + AHEAD), True),
        (WINDOW - 1, (RUNNING,), mlx(slots=2, in_flight=2 + AHEAD), False),
        (WINDOW, (), mlx(slots=2, in_flight=2 + AHEAD), False),
        (WINDOW, (RUNNING,), mlx(in_flight=0), False),
    ],
    ids=["fed", "the window has room", "nothing runs", "a server lacks tasks"],
)
def test_a_plan_is_fed_while_tasks_run_and_more_wait_than_it_reads(
    world: World,
    planner: Planner,
    rows: int,
    running: tuple[InFlightTask, ...],
    mlx_view: BackendView,
    is_fed: bool,
) -> None:
    world.rows = snapshot([task(number) for number in range(rows)])
    backends(world, mlx_view, ollama(), blocks=(block("ollama", 5),))
    world.state = replace(world.state, in_flight=running)

    planner.run("insert", replan=True)

    assert planner.is_fed is is_fed


@pytest.mark.parametrize(
    ("reason", "looks"),
    [(INTERACTIVE_CHANGED, 1), (SERVERS_CHANGED, 1), ("insert", 0), (ENDED, 0)],
)
def test_servers_and_demands_are_read_anew_where_they_changed(
    world: World, planner: Planner, reason: str, looks: int
) -> None:
    before = world.looked_again

    planner.run(reason)

    assert world.looked_again == before + looks


@pytest.mark.parametrize(
    "mlx_view",
    [
        replace(mlx(slots=2, in_flight=2 + AHEAD), closed_models={"small": "breaker open"}),
        mlx(slots=2, in_flight=2 + AHEAD, unavailable="paused"),
    ],
    ids=["its model is closed", "its server is closed"],
)
def test_a_block_for_what_is_closed_is_replaced_at_once(
    world: World, planner: Planner, mlx_view: BackendView
) -> None:
    world.rows = snapshot([])
    backends(world, mlx_view, ollama(), blocks=(block("mlx", 5), block("ollama", 5)))

    planner.run(ENDED)

    assert world.plans == [[]]
