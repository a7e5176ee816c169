"""What gives way to a person, and for how long."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.policy.interactive import (
    PERSON_WEIGHT,
    Demand,
    InteractiveOption,
    admitted_models,
    by_preference,
    keep_seconds,
    preempted_models,
)

NOW = datetime(2026, 11, 1, tzinfo=UTC)
PATIENCE = timedelta(seconds=10)


def waiting(seconds: float) -> Demand:
    since = NOW - timedelta(seconds=seconds)
    return Demand("chat", 8192, until=NOW + timedelta(seconds=60), waiting_since=since)


def preempted(demand: Demand, running: dict[str, int], *, most: int = 1) -> tuple[str, ...]:
    return preempted_models(
        demand, running, max_resident=most, resident=False, patience=PATIENCE, now=NOW
    )


def test_a_server_that_holds_the_model_comes_first_and_a_blocked_one_last() -> None:
    options = [
        InteractiveOption("blocked", "m", blocked="paused", resident=True),
        InteractiveOption("contested", "m", resident=True, contested=True),
        InteractiveOption("drains", "m", busy_models=1, running=1, slots=2),
        InteractiveOption("loads", "m", max_resident=2),
        InteractiveOption("full", "m", resident=True, slots=2, running=2),
        InteractiveOption("free", "m", resident=True, slots=2, running=1),
    ]
    assert order(options) == ["free", "full", "loads", "drains", "contested", "blocked"]


def order(options: list[InteractiveOption]) -> list[str]:
    return [option.backend for option in by_preference(options, patience=PATIENCE)]


def test_the_server_that_has_the_model_loaded_soonest_comes_first() -> None:
    """Its load and what must end before it count, not how many calls it runs."""
    idle_but_slow = InteractiveOption("idle", "m", slots=4, load_seconds=40.0)
    busy = InteractiveOption(
        "busy", "m", slots=4, running=3, busy_models=1, max_resident=2, load_seconds=6.0
    )
    drains = replace(busy, backend="drains", max_resident=1)

    assert order([idle_but_slow, drains, busy]) == ["busy", "drains", "idle"]
    assert order([replace(idle_but_slow, load_seconds=15.0), drains]) == ["idle", "drains"]


def test_of_like_loads_the_server_with_the_fewest_calls_comes_first() -> None:
    crowded = InteractiveOption("crowded", "m", slots=4, running=2, load_seconds=6.0)
    assert order([crowded, replace(crowded, backend="calm", running=1, load_seconds=6.3)]) == [
        "calm", "crowded",
    ]  # fmt: skip


def test_a_model_that_nobody_uses_holds_no_load_up() -> None:
    idle = InteractiveOption("idle", "m", busy_models=1, load_seconds=12.0)
    assert order([replace(idle, backend="slow", busy_models=0, load_seconds=14.0), idle])[0] == (
        "idle"
    )


def test_a_place_is_free_where_a_request_would_run_at_once() -> None:
    def free(**changes: Any) -> bool:
        return replace(InteractiveOption("s", "m", resident=True, slots=2), **changes).is_free

    assert free()
    assert not free(running=2)
    assert not free(waiting=1)
    assert not free(resident=False)
    assert not free(contested=True)
    assert not free(blocked="paused")


def test_nothing_is_interrupted_before_the_patience_is_over() -> None:
    assert preempted(waiting(9.9), {"big": 4}) == ()
    assert preempted(waiting(10.1), {"big": 4}) == ("big",)


def test_only_as_many_models_give_way_as_must_and_those_with_the_fewest_calls() -> None:
    assert preempted(waiting(20), {"big": 4, "small": 1}, most=2) == ("small",)
    assert preempted(waiting(20), {"big": 4}, most=2) == ()
    assert preempted(waiting(20), {"chat": 4}) == ()


def test_tasks_of_other_models_do_not_start_where_a_wanted_model_takes_their_place() -> None:
    def admitted(
        demand: Demand, running: dict[str, int], *, most: int, resident: bool = False
    ) -> frozenset[str] | None:
        return admitted_models(demand, running, max_resident=most, resident=resident)

    kept = Demand("chat", 8192, until=NOW + timedelta(seconds=60))
    assert admitted(waiting(0), {"big": 4}, most=1) == frozenset({"chat"})
    assert admitted(kept, {}, most=1, resident=True) == frozenset({"chat"})
    assert admitted(waiting(0), {"big": 4, "small": 1}, most=2) == frozenset({"big", "chat"})
    assert admitted(waiting(0), {"big": 4}, most=2, resident=True) is None
    assert admitted(kept, {"big": 4}, most=2) is None


def test_nothing_gives_way_to_a_model_that_nobody_waits_for() -> None:
    demand = Demand("chat", 8192, until=NOW + timedelta(seconds=60))
    assert preempted(demand, {"big": 4}) == ()


def test_a_model_is_kept_over_short_pauses_and_given_up_in_long_ones() -> None:
    assert keep_seconds([2, 2, 2, 300], load_seconds=4, most_seconds=600) == pytest.approx(2.4)
    assert keep_seconds([30, 40, 35], load_seconds=20, most_seconds=600) >= 40
    assert keep_seconds([500, 900, 700], load_seconds=4, most_seconds=600) == 0
    assert keep_seconds([1, 1, 30, 30], load_seconds=6, most_seconds=12) == pytest.approx(1.2)


def test_before_pauses_are_known_it_is_kept_for_what_giving_it_up_costs() -> None:
    assert keep_seconds([], load_seconds=4, most_seconds=600) == 4 * (2 + PERSON_WEIGHT)
    assert keep_seconds([], load_seconds=None, most_seconds=5) == 5


@given(st.lists(st.floats(0, 1000), min_size=3, max_size=30), st.floats(0.1, 60))
def test_no_fixed_bound_would_have_cost_less(pauses: list[float], load: float) -> None:
    def cost(bound: float) -> float:
        miss = load * (2 + PERSON_WEIGHT)
        return sum(pause if pause <= bound else bound + miss for pause in pauses)

    chosen = keep_seconds(pauses, load_seconds=load, most_seconds=10_000)

    assert cost(chosen) <= min(cost(0), *(cost(pause * 1.2) for pause in pauses)) + 1e-6


@pytest.mark.parametrize(
    ("resident", "waited_seconds", "interrupted"),
    [(False, 10, ("task",)), (False, 4, ()), (True, 10, ())],
    ids=["patience is over", "patience is left", "the wanted model is there"],
)
def test_calls_are_interrupted_only_for_a_model_that_still_has_to_come(
    resident: bool, waited_seconds: int, interrupted: tuple[str, ...]
) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    since = now - timedelta(seconds=waited_seconds)
    demand = Demand("chat", 0, now + timedelta(minutes=1), since)

    found = preempted_models(
        demand, {"task": 1}, max_resident=1, resident=resident,
        patience=timedelta(seconds=5), now=now,
    )  # fmt: skip

    assert found == interrupted
