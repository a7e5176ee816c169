"""Which model comes into memory next: the pure decision."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llm.mlx_server.scheduling import (
    Decision,
    Drain,
    Load,
    ModelLoad,
    NeededModel,
    Refuse,
    Room,
    Wait,
    decide_load,
)

FAIRNESS = 10.0


def _resident(
    name: str,
    *,
    active: int = 0,
    waiting: int = 0,
    loaded_at: float = 0.0,
    used: float = 0.0,
    size: int = 100,
) -> ModelLoad:
    return ModelLoad(
        name=name,
        active=active,
        waiting=waiting,
        loaded_at=loaded_at,
        last_used_at=used,
        size_bytes=size,
    )


def _decide(
    *residents: ModelLoad,
    needed: tuple[tuple[str, float], ...] = (("new", 0.0),),
    size: int = 100,
    most: int = 2,
    limit: int = 10_000,
    now: float = 1.0,
) -> Decision:
    room = Room(
        max_models=most,
        free_bytes=limit - sum(resident.size_bytes for resident in residents),
        limit_bytes=limit,
        fairness_seconds=FAIRNESS,
    )
    wanted = [NeededModel(name=name, since=since, size_bytes=size) for name, since in needed]
    return decide_load(residents, wanted, room=room, now=now)


def test_without_a_claim_nothing_happens() -> None:
    assert _decide(_resident("a"), needed=()) == Wait()


def test_free_room_is_taken_at_once() -> None:
    assert _decide(_resident("a", active=3)) == Load("new")


def test_the_oldest_claim_goes_first() -> None:
    assert _decide(needed=(("young", 5.0), ("old", 1.0)), now=6.0) == Load("old")


def test_the_least_recently_used_idle_model_leaves() -> None:
    fresh, stale = _resident("fresh", used=9.0), _resident("stale", used=2.0)
    assert _decide(fresh, stale) == Load("new", ("stale",))


def test_as_many_idle_models_leave_as_memory_asks_for() -> None:
    models = [_resident("a", used=1.0), _resident("b", used=2.0), _resident("c", used=3.0)]
    assert _decide(*models, most=9, limit=300, size=150) == Load("new", ("a", "b"))


def test_a_model_with_waiting_requests_is_not_idle() -> None:
    wanted, unused = _resident("wanted", waiting=1, used=0.0), _resident("unused", used=5.0)
    assert _decide(wanted, unused) == Load("new", ("unused",))


def test_busy_models_keep_their_place_before_the_fairness_deadline() -> None:
    busy = [_resident("a", active=1), _resident("b", active=1)]
    assert _decide(*busy, now=FAIRNESS - 0.1) == Wait()


def test_after_the_fairness_deadline_the_longest_resident_drains() -> None:
    older = _resident("older", active=2, waiting=9, loaded_at=1.0)
    newer = _resident("newer", active=2, loaded_at=2.0)
    assert _decide(older, newer, now=30.0) == Drain(("older",), "new")


def test_a_drained_model_gives_way_although_requests_wait_for_it() -> None:
    drained = _resident("drained", waiting=5, loaded_at=1.0)
    newer = _resident("newer", active=2, loaded_at=2.0)
    assert _decide(drained, newer, now=30.0) == Load("new", ("drained",))


def test_as_many_busy_models_drain_together_as_the_claim_needs() -> None:
    models = [_resident(name, active=1, loaded_at=at) for at, name in enumerate("abc")]
    wanted: dict[str, Any] = {"most": 9, "limit": 340, "now": 30.0}
    assert _decide(*models, size=140, **wanted) == Drain(("a",), "new")
    assert _decide(*models, size=150, **wanted) == Drain(("a", "b"), "new")
    assert _decide(*models, size=340, **wanted) == Drain(("a", "b", "c"), "new")


def test_a_model_that_is_empty_keeps_draining_until_the_others_are() -> None:
    empty, busy = _resident("a", waiting=3), _resident("b", active=1, loaded_at=1.0)
    room: dict[str, Any] = {"size": 150, "most": 9, "limit": 240, "now": 30.0}
    assert _decide(empty, busy, **room) == Drain(("a", "b"), "new")
    both_empty = (empty, _resident("b", waiting=1, loaded_at=1.0))
    assert _decide(*both_empty, **room) == Load("new", ("a", "b"))


def test_idle_models_leave_with_a_drained_one_where_that_is_enough() -> None:
    drained = _resident("drained", waiting=1)
    idle, busy = _resident("idle"), _resident("busy", active=1, loaded_at=1.0)
    decision = _decide(drained, idle, busy, size=200, most=9, limit=300, now=30.0)
    assert decision == Load("new", ("drained", "idle"))


def test_nobody_drains_while_those_who_must_leave_too_have_not_had_their_turn() -> None:
    models = [_resident("a", active=1), _resident("b", active=1, loaded_at=25.0)]
    assert _decide(*models, size=150, most=9, limit=240, now=30.0) == Wait()


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 90)), max_size=5),
    st.integers(1, 100),
    st.integers(1, 4),
)
def test_a_claim_that_waited_long_enough_always_gets_on(
    states: list[tuple[int, int, int]], size: int, most: int
) -> None:
    models = [
        _resident(str(number), active=active, waiting=waiting, size=held)
        for number, (active, waiting, held) in enumerate(states)
    ]
    limit = max(size, sum(model.size_bytes for model in models))
    decision = _decide(*models, size=size, most=most, limit=limit, now=FAIRNESS)
    assert isinstance(decision, Load | Drain)
    names = decision.evict if isinstance(decision, Load) else decision.victims
    leaving = [model for model in models if model.name in names]
    assert any(model.active for model in leaving) == isinstance(decision, Drain)
    if isinstance(decision, Load):
        stay = [model for model in models if model not in leaving]
        assert len(stay) < most
        assert sum(model.size_bytes for model in stay) + size <= limit


def test_a_model_that_just_came_has_its_turn_first() -> None:
    both = [_resident("a", active=1, loaded_at=25.0), _resident("b", active=1, loaded_at=26.0)]
    assert _decide(*both, now=30.0) == Wait()


def test_a_model_larger_than_the_limit_is_refused_with_figures() -> None:
    decision = _decide(size=500, limit=400)
    assert isinstance(decision, Refuse)
    assert "500 bytes" in decision.reason
    assert "400 bytes" in decision.reason
