from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.policy.dispatch import dispatch
from jobs.policy.types import (
    BackendView,
    BlockKey,
    DispatchDecision,
    OpenBlock,
    PlanningConfig,
    PolicyName,
)
from llm.types import BackendKind
from tests.support.plan_builders import key, mlx, ollama

CONFIG = PlanningConfig()


def block(
    name: str, model: str, remaining: int, in_flight: int = 0, *, backend: str = "mlx",
    heavy: bool = False, urgent: bool = False, num_ctx: int = 0,
) -> OpenBlock:  # fmt: skip
    where = BlockKey(backend, model, num_ctx)
    return OpenBlock(name, where, remaining, in_flight, heavy, urgent)


def sent(decision: DispatchDecision) -> dict[str, int]:
    return {order.block_id: order.count for order in decision.orders}


def test_an_idle_server_gets_as_many_as_its_slots_and_the_dispatch_ahead() -> None:
    decision = dispatch([mlx()], [block("a", "small", 10)], dispatch_ahead=1, config=CONFIG)

    assert sent(decision) == {"a": 3}
    assert decision.held[0].reason


def test_a_freed_slot_takes_one_task_of_the_running_block() -> None:
    view = mlx(in_flight=1, resident=("small",), current=key("mlx", "small"))

    decision = dispatch([view], [block("a", "small", 10, 1)], dispatch_ahead=0, config=CONFIG)

    assert sent(decision) == {"a": 1}


def test_a_server_with_one_resident_model_drains_before_the_next_block() -> None:
    view = mlx(in_flight=1, resident=("small",), current=key("mlx", "small"))
    blocks = [block("a", "small", 0, 1), block("b", "coder", 5)]

    decision = dispatch([view], blocks, dispatch_ahead=0, config=CONFIG)

    assert not decision.orders
    assert "drains small" in decision.held[0].reason


def test_the_next_block_begins_when_the_server_has_drained() -> None:
    view = mlx(resident=("small",))

    decision = dispatch([view], [block("b", "coder", 5)], dispatch_ahead=0, config=CONFIG)

    assert sent(decision) == {"b": 2}


def test_nothing_is_sent_to_a_model_that_has_closed_since_it_was_planned() -> None:
    view = replace(mlx(resident=("small",)), closed_models={"small": "breaker open: load_failed"})
    blocks = [block("a", "small", 5), block("b", "coder", 5)]

    decision = dispatch([view], blocks, dispatch_ahead=0, config=CONFIG)

    assert sent(decision) == {"b": 2}
    assert decision.held[0].reason == "breaker open: load_failed"


def test_where_two_models_fit_the_next_block_fills_the_tail() -> None:
    view = mlx(in_flight=1, resident=("small", "coder"), max_resident=2)
    blocks = [block("a", "small", 0, 1), block("b", "coder", 5)]

    assert sent(dispatch([view], blocks, dispatch_ahead=0, config=CONFIG)) == {"b": 1}


def test_where_two_models_fit_the_next_is_loaded_ahead() -> None:
    view = mlx(in_flight=2, resident=("small",), max_resident=2, current=key("mlx", "small"))
    blocks = [block("a", "small", 9, 2), block("b", "coder", 5)]

    decision = dispatch([view], blocks, dispatch_ahead=0, config=CONFIG)

    assert [(p.model, p.backend) for p in decision.preloads] == [("coder", "mlx")]
    assert not decision.orders
    again = dispatch([replace(view, loading=("coder",))], blocks, dispatch_ahead=0, config=CONFIG)
    assert not again.preloads


def test_a_model_on_its_way_into_memory_keeps_the_old_one_from_being_used() -> None:
    view = mlx(in_flight=1, resident=("small",), current=key("mlx", "coder"))
    blocks = [block("b", "coder", 0, 1), block("a", "small", 5)]

    assert not dispatch([view], blocks, dispatch_ahead=0, config=CONFIG).orders


def test_another_context_size_of_the_same_model_drains_first() -> None:
    view = ollama(in_flight=1, resident=("small",), max_resident=3)
    blocks = [
        block("a", "small", 0, 1, backend="ollama"),
        block("b", "small", 5, backend="ollama", num_ctx=8192),
    ]

    assert not dispatch([view], blocks, dispatch_ahead=0, config=CONFIG).orders


def test_an_urgent_block_stops_the_running_one_at_its_boundary() -> None:
    view = mlx(in_flight=1, resident=("small",), current=key("mlx", "small"))
    blocks = [block("a", "small", 9, 1), block("u", "coder", 1, urgent=True)]

    assert not dispatch([view], blocks, dispatch_ahead=0, config=CONFIG).orders
    drained = replace(view, in_flight=0, current=None)
    blocks = [block("a", "small", 9), block("u", "coder", 1, urgent=True)]
    assert sent(dispatch([drained], blocks, dispatch_ahead=0, config=CONFIG)) == {"u": 1}


def test_a_server_that_is_not_available_gets_nothing_and_says_why() -> None:
    view = mlx(unavailable="breaker open")

    decision = dispatch([view], [block("a", "small", 9)], dispatch_ahead=1, config=CONFIG)

    assert not decision.orders
    assert decision.held[0].reason == "breaker open"


def test_two_heavy_models_do_not_run_at_once_where_the_host_says_so() -> None:
    blocks = [
        block("h1", "thinker", 5, heavy=True),
        block("h2", "thinker", 5, backend="ollama", heavy=True),
        block("l2", "small", 5, backend="ollama"),
    ]

    decision = dispatch(
        [mlx(), ollama()], blocks, dispatch_ahead=0, config=PlanningConfig(allow_two_heavy=False)
    )

    assert sent(decision) == {"h1": 2, "l2": 2}
    assert any("heavy" in held.reason for held in decision.held)


@pytest.mark.parametrize("people_use", [None, "thinker"])
@pytest.mark.parametrize("in_flight", [0, 1, 2])
def test_the_heavy_limit_of_a_server_holds(in_flight: int, people_use: str | None) -> None:
    asked = BlockKey("mlx", people_use, 0) if people_use else None
    view = replace(mlx(slots=4, heavy_limit=2, in_flight=in_flight), interactive=asked)
    blocks = [block("h", "thinker", 9, in_flight, heavy=True)]

    decision = dispatch([view], blocks, dispatch_ahead=1, config=CONFIG)

    assert sum(sent(decision).values()) == 2 - in_flight


def test_plain_policies_send_whatever_is_next() -> None:
    blocks = [block("a", "small", 1), block("b", "coder", 1), block("c", "small", 1)]

    decision = dispatch(
        [mlx()], blocks, dispatch_ahead=1, config=PlanningConfig(policy=PolicyName.SEED)
    )

    assert sent(decision) == {"a": 1, "b": 1, "c": 1}


def light(name: str, backend: str, *, urgent: bool = False, in_flight: int = 0) -> OpenBlock:
    return block(name, "small", 9, in_flight, backend=backend, urgent=urgent)


def test_all_servers_together_get_no_more_than_the_total_and_the_dispatch_ahead() -> None:
    views = [mlx(slots=5), ollama(slots=10)]
    blocks = [light("m", "mlx"), light("o", "ollama")]

    decision = dispatch(views, blocks, dispatch_ahead=2, config=CONFIG, total=4)

    assert sent(decision) == {"m": 2, "o": 4}
    assert {held.reason for held in decision.held} == {
        "all servers together have as many tasks as they may"
    }
    assert sent(dispatch(views, blocks, dispatch_ahead=2, config=CONFIG, total=40)) == {
        "m": 7,
        "o": 9,
    }


def test_a_place_goes_to_the_least_full_server() -> None:
    views = [mlx(slots=4, in_flight=2), ollama(slots=4, in_flight=1)]
    blocks = [light("m", "mlx", in_flight=2), light("o", "ollama", in_flight=1)]

    assert sent(dispatch(views, blocks, dispatch_ahead=0, config=CONFIG, total=4)) == {"o": 1}


def test_of_equally_full_servers_the_first_given_is_served() -> None:
    blocks = [light("m", "mlx"), light("o", "ollama")]

    for views, served in (([mlx(), ollama()], "m"), ([ollama(), mlx()], "o")):
        assert sent(dispatch(views, blocks, dispatch_ahead=0, config=CONFIG, total=1)) == {
            served: 1
        }


def test_a_place_goes_to_an_urgent_task_wherever_it_is() -> None:
    views = [mlx(slots=4), ollama(slots=4, in_flight=2)]
    blocks = [light("m", "mlx"), light("o", "ollama", urgent=True, in_flight=2)]

    assert sent(dispatch(views, blocks, dispatch_ahead=0, config=CONFIG, total=3)) == {"o": 1}


def test_a_server_that_must_load_first_holds_one_place_while_others_can_use_the_rest() -> None:
    blocks = [light("m", "mlx"), light("o", "ollama")]
    warm = ollama(slots=4, resident=("small",))

    def shares(**changes: Any) -> dict[str, int]:
        views = [mlx(slots=4, **changes), warm]
        return sent(dispatch(views, blocks, dispatch_ahead=0, config=CONFIG, total=4))

    assert shares(resident=("chat",)) == {"m": 1, "o": 3}
    assert shares(resident=("small",)) == {"m": 2, "o": 2}
    assert shares(resident=()) == {"m": 2, "o": 2}, "it does not say what it holds"
    cold = [mlx(slots=4, resident=("chat",)), ollama(slots=4, resident=("chat",))]
    both = dispatch(cold, blocks, dispatch_ahead=0, config=CONFIG, total=4)
    assert sent(both) == {"m": 2, "o": 2}


def test_a_server_that_drains_leaves_its_places_to_the_others() -> None:
    views = [mlx(in_flight=1, resident=("coder",)), ollama(slots=4, in_flight=3)]
    blocks = [block("c", "coder", 0, 1), light("m", "mlx"), light("o", "ollama", in_flight=3)]

    assert sent(dispatch(views, blocks, dispatch_ahead=0, config=CONFIG, total=5)) == {"o": 1}


def test_an_idle_server_without_a_place_loads_nothing_ahead() -> None:
    views = [ollama(in_flight=1), mlx(max_resident=2)]
    blocks = [
        light("o", "ollama", in_flight=1),
        light("m", "mlx"),
        block("c", "coder", 5),
    ]

    assert not dispatch(views, blocks, dispatch_ahead=0, config=CONFIG, total=1).preloads


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[BackendView], list[OpenBlock]]:
    views, blocks = [], []
    models = st.sampled_from(["small", "coder", "thinker"])
    for name in ("mlx", "ollama"):
        keys = st.builds(BlockKey, st.just(name), models, st.sampled_from([0, 0, 8192]))
        here = [
            OpenBlock(
                f"{name}-{n}",
                where,
                draw(st.integers(0, 5)),
                draw(st.integers(0, 2)),
                where.model == "thinker",
                draw(st.booleans()),
            )
            for n, where in enumerate(draw(st.lists(keys, max_size=4)))
        ]
        views.append(
            BackendView(
                name,
                BackendKind(name),
                slots=draw(st.integers(0, 4)),
                in_flight=sum(b.in_flight for b in here) + draw(st.integers(0, 1)),
                resident=tuple(draw(st.lists(models, max_size=2, unique=True))),
                max_resident=draw(st.integers(1, 2)),
                heavy_limit=draw(st.integers(1, 3)),
                unavailable=draw(st.sampled_from([None, None, "down"])),
                interactive=draw(st.none() | keys),
            )
        )
        blocks += here
    return views, blocks


@given(
    situations(),
    st.integers(0, 2),
    st.sampled_from(list(PolicyName)),
    st.booleans(),
    st.none() | st.integers(0, 8),
)
def test_limits_are_never_exceeded_and_nothing_is_sent_that_is_not_there(
    situation: tuple[list[BackendView], list[OpenBlock]],
    dispatch_ahead: int,
    policy: PolicyName,
    two_heavy: bool,
    total: int | None,
) -> None:
    views, blocks = situation
    config = PlanningConfig(policy=policy, allow_two_heavy=two_heavy)

    decision = dispatch(views, blocks, dispatch_ahead=dispatch_ahead, config=config, total=total)

    if total is not None:
        under_way, ordered = sum(v.in_flight for v in views), sum(sent(decision).values())
        alone = sum(
            sent(dispatch(views, blocks, dispatch_ahead=dispatch_ahead, config=config)).values()
        )
        assert ordered <= max(0, total + dispatch_ahead - under_way)
        assert ordered == min(alone, max(0, total + dispatch_ahead - under_way)) or not two_heavy
    remaining = {b.block_id: b.remaining for b in blocks}
    assert all(0 < order.count <= remaining[order.block_id] for order in decision.orders)
    assert len(sent(decision)) == len(decision.orders)
    for view in views:
        count = sum(o.count for o in decision.orders if o.key.backend == view.name)
        if count:
            assert view.unavailable is None
            assert view.in_flight + count <= view.slots + dispatch_ahead
        heavy = {b.block_id: b.in_flight for b in blocks if b.heavy and b.key.backend == view.name}
        more = sum(o.count for o in decision.orders if o.block_id in heavy)
        if more and policy is PolicyName.RELOAD_AWARE:
            assert sum(heavy.values()) + more <= view.heavy_limit
    assert all(order.reason for order in decision.orders)
    assert all(held.reason for held in decision.held)
    unsent = {b for b, count in remaining.items() if count > sent(decision).get(b, 0)}
    assert unsent <= {held.option for held in decision.held}


def test_a_model_that_people_use_keeps_blocks_of_others_away_until_it_may_go() -> None:
    chat = BlockKey("mlx", "chat", 0)
    view = replace(mlx(), max_resident=1, interactive=chat)

    assert sent(dispatch([view], [block("a", "small", 5)], dispatch_ahead=0, config=CONFIG)) == {}
    same = [block("a", "chat", 5)]
    assert sent(dispatch([view], same, dispatch_ahead=0, config=CONFIG)) == {"a": 2}


def test_a_block_runs_beside_a_model_that_people_use_where_both_fit() -> None:
    view = replace(mlx(), max_resident=2, interactive=BlockKey("mlx", "chat", 0))

    decision = dispatch([view], [block("a", "small", 5)], dispatch_ahead=0, config=CONFIG)

    assert sent(decision) == {"a": 2}
