"""By how much the estimate of a task's turn may be off."""

from __future__ import annotations

from itertools import pairwise

from console.operations.queue_position import PLAN_ERROR, spread_of


def test_the_errors_of_many_tasks_level_out_but_not_that_of_the_plan() -> None:
    spreads = [spread_of(before, 0.8) for before in (0, 1, 5, 20, 100, 10_000)]

    assert all(later < earlier for earlier, later in pairwise(spreads))
    assert PLAN_ERROR < spreads[-1] < 1.1 * PLAN_ERROR


def test_a_start_is_never_before_now() -> None:
    assert spread_of(0, 9.0) == 1.0
