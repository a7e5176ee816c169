"""When a backlog ends, by the plan played forward."""

from __future__ import annotations

import random

import pytest

from jobs.policy.forecast import (
    Ahead,
    BlockAhead,
    Duration,
    Forecast,
    InFlight,
    Retries,
    SecondsRange,
    forecast,
)

SURE = Duration(10.0, 0.0)


def played(**ahead: object) -> Forecast:
    return forecast(Ahead(**ahead), draw=random.Random(1).random)  # type: ignore[arg-type]


def middle(found: SecondsRange | None) -> float:
    assert found is not None
    return found.middle


def test_tasks_of_known_length_end_one_slot_after_the_other() -> None:
    found = played(blocks=(BlockAhead("a", "mlx", 8, SURE),), slots={"mlx": 2})

    assert middle(found.end()) == pytest.approx(40.0, rel=0.1)
    assert middle(found.start_of("a", 5)) == pytest.approx(20.0, rel=0.1)
    assert middle(found.finish_of([("a", 5), ("a", 1)])) == pytest.approx(30.0, rel=0.1)


def test_a_block_waits_for_its_load_and_for_what_it_drains() -> None:
    first, second = BlockAhead("a", "mlx", 1, SURE), BlockAhead("b", "mlx", 1, SURE, 30.0)

    found = played(blocks=(first, second), slots={"mlx": 2})

    assert middle(found.end()) == pytest.approx(50.0, rel=0.1)


def test_a_running_task_needs_what_is_left_of_its_time() -> None:
    running = InFlight("t", "mlx", SURE, elapsed_seconds=6.0)

    found = played(in_flight=(running,), slots={"mlx": 1})

    assert middle(found.finish_of([("t", 0)])) == pytest.approx(4.0, rel=0.1)


def test_a_task_that_outran_all_that_was_seen_is_still_given_time() -> None:
    late = InFlight("t", "mlx", Duration(1.0, 0.2), elapsed_seconds=100.0)

    assert middle(played(in_flight=(late,)).end()) > 1.0


def test_servers_that_share_one_limit_share_its_slots() -> None:
    blocks = tuple(BlockAhead(name, name, 8, SURE) for name in ("mlx", "ollama"))

    alone = played(blocks=blocks, slots={"mlx": 4, "ollama": 4})
    shared = played(blocks=blocks, slots={"mlx": 4, "ollama": 4}, total=4)

    assert middle(shared.end()) == pytest.approx(2 * middle(alone.end()), rel=0.1)


def test_what_no_block_holds_yet_is_taken_for_a_mix_like_the_plan() -> None:
    block = BlockAhead("a", "mlx", 10, SURE)

    found = played(blocks=(block,), slots={"mlx": 1}, unplanned=30)

    assert middle(found.end()) == pytest.approx(400.0, rel=0.1)
    assert middle(found.finish_of([("a", 9)])) == pytest.approx(100.0, rel=0.1)


def test_retries_add_their_work_and_their_back_off() -> None:
    block = BlockAhead("a", "mlx", 20, SURE)
    slots = {"mlx": 20}

    found = played(blocks=(block,), slots=slots, retries=Retries(share=1.0, delay_seconds=90.0))

    assert middle(found.end()) == pytest.approx(90.0 + 180.0 + 3 * 10.0, rel=0.1)


def test_a_task_in_back_off_is_done_after_it() -> None:
    block = BlockAhead("a", "mlx", 1, SURE)

    found = played(blocks=(block,), slots={"mlx": 1}, delayed=(60.0,))

    assert middle(found.end()) == pytest.approx(70.0, rel=0.1)


def test_a_task_in_back_off_may_fail_once_more() -> None:
    retries = Retries(share=1.0, delay_seconds=90.0)

    found = played(slots={"mlx": 2}, delayed=(60.0,), usual=SURE, retries=retries)

    assert middle(found.end()) == pytest.approx(60.0 + 10.0 + 180.0 + 10.0, rel=0.1)


def test_tasks_in_back_off_alone_still_have_an_end() -> None:
    found = played(slots={"mlx": 2}, delayed=(60.0, 20.0), usual=SURE)

    assert middle(found.end()) == pytest.approx(70.0, rel=0.1)


def test_the_range_narrows_with_the_number_of_tasks() -> None:
    def breadth(tasks: int) -> float:
        block = BlockAhead("a", "mlx", tasks, Duration(10.0, 0.8))
        found = played(blocks=(block,), slots={"mlx": 2}).end()
        assert found is not None
        return (found.high - found.low) / found.middle

    assert breadth(400) < breadth(20) < breadth(1)


def test_nothing_planned_and_nothing_running_promises_nothing() -> None:
    assert played(unplanned=5).end() is None
