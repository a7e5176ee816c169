"""The figures that plans are made of: what is warm, what runs, and when a slot is free."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs.policy.plan import plan
from jobs.policy.plan_building.balance import drain_seconds
from jobs.policy.plan_building.memory import capacity, effective_slots, is_warm, models_in_memory
from jobs.policy.types import BackendView, BlockKey, Plan, RunningTask
from models.states import Priority
from tests.support.plan_builders import FAST, REASONING, key, mlx, ollama, snapshot, task, tasks


def running(seconds: float, at: BlockKey, *, count: int = 1) -> tuple[RunningTask, ...]:
    return tuple(RunningTask(f"running-{n}", at, seconds) for n in range(count))


SMALL, OTHER = key("mlx", "small", 8192), key("mlx", "small", 4096)


@pytest.mark.parametrize(
    ("view", "warm"),
    [
        (mlx(), False),
        (mlx(resident=("small",)), True),
        (mlx(resident=("coder",)), False),
        (mlx(loading=("small",)), True),
        (mlx(resident=("small",), loading=("coder",)), False),
        (mlx(resident=("small",), loading=("coder",), max_resident=2), True),
        (mlx(resident=("small",), current=SMALL), True),
        (mlx(resident=("small",), current=OTHER), False),
        (mlx(resident=("small",), current=key("mlx", "coder")), True),
        (mlx(resident=("small",), current=key("mlx", "coder"), in_flight=1), False),
        (mlx(current=SMALL, in_flight=1), True),
        (mlx(current=SMALL), False),
        (mlx(resident=("small",), interactive=key("mlx", "coder")), False),
        (mlx(interactive=SMALL), True),
    ],
)
def test_a_model_is_warm_if_it_will_be_in_memory_with_these_options(
    view: BackendView, warm: bool
) -> None:
    assert is_warm(view, SMALL) is warm


def test_what_is_coming_stays_and_the_least_recent_goes() -> None:
    view = mlx(
        resident=("a", "b", "c"),
        loading=("d",),
        current=key("mlx", "b"),
        in_flight=1,
        max_resident=2,
    )

    assert models_in_memory(view) == ("c", "d", "b")
    assert capacity(view) == 3, "a server seen to hold more than configured can hold that many"
    assert capacity(mlx(max_resident=0)) == 1


@pytest.mark.parametrize(
    ("slots", "heavy_limit", "heavy", "expected"),
    [(4, 2, True, 2), (4, 2, False, 4), (1, 2, True, 1), (0, 2, False, 1), (4, 0, True, 1)],
)
def test_heavy_work_has_its_own_bound_on_slots(
    slots: int, heavy_limit: int, heavy: bool, expected: int
) -> None:
    assert effective_slots(mlx(slots=slots, heavy_limit=heavy_limit), heavy=heavy) == expected


@pytest.mark.parametrize(
    ("slots", "expected"), [(1, 0.0), (2, 0.5 * 8 * 0.5), (4, 0.5 * 8 * (1 / 2 + 1 / 3 + 1 / 4))]
)
def test_the_drain_of_a_block_costs_by_the_slots_that_stand_idle(
    slots: int, expected: float
) -> None:
    assert drain_seconds(8.0, slots) == pytest.approx(expected)


def test_the_drain_of_very_many_slots_is_counted_as_of_sixty_four() -> None:
    assert drain_seconds(8.0, 65) == drain_seconds(8.0, 64) > drain_seconds(8.0, 63)


def test_blocks_begin_when_the_running_work_of_all_slots_is_done() -> None:
    view = mlx(resident=("small",), current=key("mlx", "small"), in_flight=2)
    waiting = replace(
        snapshot(tasks(4, FAST), view),
        running=running(10.0, key("mlx", "small"), count=2) + running(99.0, key("ollama", "x")),
    )

    (block,) = plan(waiting).blocks

    assert block.expected_start_seconds == pytest.approx((10.0 + 10.0) / 2)
    assert block.expected_finish_seconds == pytest.approx(10.0 + 4 * 2.0 / 2)
    assert (block.needs_load, block.expected_load_seconds) == (False, 0.0)


def test_a_cold_block_begins_after_its_load_and_the_next_one_after_it() -> None:
    made = plan(snapshot([*tasks(4, FAST), *tasks(3, REASONING)], mlx()))

    thinker, small = made.blocks
    assert (thinker.key.model, small.key.model) == ("thinker", "small")
    assert (thinker.expected_start_seconds, thinker.heavy) == (9.0, True)
    assert thinker.expected_finish_seconds == pytest.approx(9.0 + 3 * 50.0 / 2)
    assert small.expected_start_seconds == pytest.approx(thinker.expected_finish_seconds + 1.0)
    assert small.expected_finish_seconds == pytest.approx(small.expected_start_seconds + 4 * 2 / 2)


def test_one_task_takes_its_whole_time_whatever_slots_are_free() -> None:
    (block,) = plan(snapshot(tasks(1, FAST), mlx(slots=8, resident=("small",)))).blocks

    assert block.expected_finish_seconds == pytest.approx(2.0)


def test_the_service_time_of_a_category_goes_before_that_of_its_model() -> None:
    waiting = snapshot(tasks(2, FAST), mlx(slots=1, resident=("small",)))
    quick = replace(waiting.models[0], service_by_category={FAST: 0.5})

    (block,) = plan(replace(waiting, models=(quick, *waiting.models[1:]))).blocks

    assert block.expected_finish_seconds == pytest.approx(1.0)


def urgently(*backends: BackendView, busy: tuple[RunningTask, ...] = ()) -> Plan:
    one = task("now", FAST, priority=Priority.URGENT)
    return plan(replace(snapshot([one], *backends), running=busy))


def test_an_urgent_task_goes_where_a_slot_is_free_before_a_server_that_is_full() -> None:
    full = mlx(resident=("small",), in_flight=2)
    free = ollama(resident=("small",))

    (route,) = urgently(full, free, busy=running(60.0, key("mlx", "small"), count=2)).routes

    assert route.key.backend == "ollama"
    assert "in about 0.0 s, with its model in memory" in route.reason


def test_an_urgent_task_waits_for_the_first_slot_of_a_full_server() -> None:
    full = mlx(resident=("small",), in_flight=2)
    busy = running(60.0, key("mlx", "small")) + running(4.0, key("mlx", "small"))

    (route,) = urgently(full, busy=busy).routes

    assert "in about 4.0 s, with its model in memory" in route.reason


def test_an_urgent_task_waits_for_the_drain_where_one_model_fits() -> None:
    busy = running(60.0, key("mlx", "coder")) + running(4.0, key("mlx", "coder"))

    (alone,) = urgently(mlx(resident=("coder",), in_flight=2), busy=busy).routes
    (beside,) = urgently(mlx(resident=("coder",), in_flight=2, max_resident=2), busy=busy).routes

    assert "in about 61.0 s, once running tasks end" in alone.reason
    assert "in about 1.0 s, once running tasks end" in beside.reason


def test_running_work_is_shared_over_the_slots_of_its_server() -> None:
    waiting = snapshot(tasks(10, FAST), mlx(slots=10, resident=("small",)))
    much = running(60.0, key("mlx", "small"), count=10)

    made = plan(replace(waiting, running=much))

    # 60 s of running work, 2 s of waiting work, and 2 s until the last slot is through.
    assert made.reason == "10 tasks in 1 blocks; servers finish in about 64 s with 0 loads"
