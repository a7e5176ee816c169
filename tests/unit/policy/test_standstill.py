"""When a backlog that does not move is red."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs.policy.standstill import STANDSTILL_SECONDS, Flow, standstill

NEVER = float("inf")
STILL = Flow(
    waiting=True, free_slots=4, in_flight=0, since_move_seconds=NEVER, since_dispatch_seconds=NEVER,
    since_cycle_seconds=NEVER,
)  # fmt: skip


def test_rows_wait_beside_free_slots_and_nothing_moves() -> None:
    fault = standstill(STILL, could_move_seconds=STANDSTILL_SECONDS)

    assert fault is not None
    assert "4 slots are free" in fault


def test_with_nothing_in_flight_even_a_planner_that_ends_its_cycles_is_no_excuse() -> None:
    assert standstill(replace(STILL, since_cycle_seconds=1.0), could_move_seconds=60.0)


@pytest.mark.parametrize(
    "moving",
    [
        replace(STILL, waiting=False),
        replace(STILL, free_slots=0),
        replace(STILL, since_move_seconds=2.0, since_cycle_seconds=1.0),
        replace(STILL, since_move_seconds=2.0, since_dispatch_seconds=2.0),
        replace(STILL, in_flight=1, since_cycle_seconds=1.0),
    ],
    ids=[
        "nothing waits",
        "no slot is free",
        "a task ended",
        "a task was sent",
        "the planner holds rows for a model",
    ],
)
def test_what_moves_or_cannot_move_is_no_standstill(moving: Flow) -> None:
    assert standstill(moving, could_move_seconds=60.0) is None


def test_rows_that_came_just_now_are_no_standstill() -> None:
    assert standstill(STILL, could_move_seconds=STANDSTILL_SECONDS - 1) is None


def test_a_planner_whose_cycles_do_not_end_is_red_beside_running_tasks() -> None:
    assert standstill(replace(STILL, in_flight=1), could_move_seconds=60.0)


def test_what_was_sent_before_may_end_beside_a_planner_that_hangs() -> None:
    ending = replace(STILL, in_flight=3, since_move_seconds=0.5)

    assert standstill(ending, could_move_seconds=STANDSTILL_SECONDS)
