"""What holds for every plan of every policy."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.policy.plan import plan, plan_again_after
from jobs.policy.types import (
    BackendView,
    BlockKey,
    FurtherTasks,
    Plan,
    PlanningConfig,
    PolicyName,
    RunningTask,
    Snapshot,
    TaskView,
)
from llm.types import BackendKind, Category
from models.states import Priority
from tests.support.plan_builders import MODELS, NOW

NAMES = st.sampled_from(["mlx", "ollama"])
MODEL_NAMES = st.sampled_from(["small", "coder", "thinker"])
PAIRS = st.frozensets(st.tuples(NAMES, MODEL_NAMES), max_size=3)


@st.composite
def backends(draw: st.DrawFn, name: str) -> BackendView:
    current = draw(st.none() | st.builds(BlockKey, st.just(name), MODEL_NAMES))
    return BackendView(
        name,
        BackendKind(name),
        slots=draw(st.integers(0, 4)),
        in_flight=draw(st.integers(0, 4)),
        resident=tuple(draw(st.lists(MODEL_NAMES, max_size=2, unique=True))),
        max_resident=draw(st.integers(1, 3)),
        heavy_limit=draw(st.integers(1, 3)),
        current=current,
        unavailable=draw(st.sampled_from([None, None, None, "breaker open"])),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    waiting = draw(
        st.lists(
            st.builds(
                TaskView,
                id=st.integers(0, 10_000).map(str),
                created_at=st.integers(-10, 3000).map(lambda age: NOW - timedelta(seconds=age)),
                priority=st.sampled_from(list(Priority)),
                category=st.sampled_from(list(Category)),
                complexity=st.floats(0, 1),
                preferred_source=st.sampled_from([None, "mlx", "ollama", "moon"]),
                required_backend=st.sampled_from([None, None, "mlx", "moon"]),
                required_model=st.sampled_from([None, None, "coder", "unheard-of"]),
                num_ctx=st.sampled_from([0, 0, 8192]),
                bug_probability=st.none() | st.floats(0, 1),
                avoid=PAIRS,
                only=st.none() | PAIRS,
            ),
            max_size=40,
            unique_by=lambda task: task.id,
        )
    )
    running = draw(
        st.lists(
            st.builds(
                RunningTask,
                st.integers(20_000, 30_000).map(str),
                st.builds(BlockKey, NAMES, MODEL_NAMES),
                st.floats(0, 60),
            ),
            max_size=4,
        )
    )
    views = tuple(view for name in ("mlx", "ollama") if (view := draw(st.none() | backends(name))))
    config = PlanningConfig(
        policy=draw(st.sampled_from(list(PolicyName))),
        batch_size=draw(st.sampled_from([1, 7, 50])),
        batch_by_model=draw(st.booleans()),
        interleave_blocks=draw(st.booleans()),
        heavy_light_pairing=draw(st.booleans()),
        allow_two_heavy=draw(st.booleans()),
        fairness_seconds=draw(st.sampled_from([60.0, 900.0])),
    )
    beyond = tuple(FurtherTasks(task.id, 100) for task in waiting[:1])
    names = {view.name for view in views}
    models = tuple(model for model in MODELS if model.backend in names)
    return Snapshot(NOW, tuple(waiting), views, models, tuple(running), beyond, config)


@settings(max_examples=300)
@given(snapshots())
def test_every_task_is_in_one_block_or_unplaced_and_never_twice(given_: Snapshot) -> None:
    made = plan(given_)

    placed = Counter(task_id for block in made.blocks for task_id in block.task_ids)
    placed.update(task.task_id for task in made.unplaced)
    assert all(count == 1 for count in placed.values())
    if given_.config.policy is PolicyName.SEED:
        assert set(placed) <= {task.id for task in given_.tasks}
        sent = sum(len(block.task_ids) for block in made.blocks)
        could = len(given_.tasks) - len(made.unplaced)
        assert sent == min(could, given_.config.batch_size)
    else:
        assert set(placed) == {task.id for task in given_.tasks}


@settings(max_examples=150)
@given(snapshots())
def test_the_same_snapshot_gives_the_same_plan_whatever_the_order_of_its_parts(
    given_: Snapshot,
) -> None:
    turned = replace(
        given_,
        tasks=given_.tasks[::-1],
        backends=given_.backends[::-1],
        models=given_.models[::-1],
    )

    first, second = plan(given_), plan(given_)

    assert first == second
    assert _content(plan(turned)) == _content(first)


def _content(made: Plan) -> object:
    return {(block.key, block.task_ids): block.reason for block in made.blocks}


@settings(max_examples=150)
@given(snapshots())
def test_every_choice_has_a_reason_and_every_route_agrees_with_its_block(
    given_: Snapshot,
) -> None:
    made = plan(given_)

    block_of = {task_id: block.key for block in made.blocks for task_id in block.task_ids}
    assert {i: route.key for route in made.routes for i in route.task_ids} == block_of
    assert made.reason
    assert all(block.reason and block.task_ids for block in made.blocks)
    assert all(route.reason for route in made.routes)
    assert all(parked.reason for parked in made.unplaced)
    assert all(r.reason and r.option for route in made.routes for r in route.rejected)


@settings(max_examples=150)
@given(snapshots())
def test_nothing_is_planned_for_a_server_that_takes_nothing(given_: Snapshot) -> None:
    open_names = {v.name for v in given_.backends if v.unavailable is None and v.slots > 0}

    made = plan(given_)

    assert {block.key.backend for block in made.blocks} <= open_names
    assert all(
        block.expected_finish_seconds >= block.expected_start_seconds >= 0 for block in made.blocks
    )


@settings(max_examples=100)
@given(snapshots())
def test_reload_aware_opens_a_key_once_in_a_lane(given_: Snapshot) -> None:
    config = replace(given_.config, policy=PolicyName.RELOAD_AWARE)

    made = plan(replace(given_, config=config))

    keys = [block.key for block in made.blocks]
    assert len(keys) == len(set(keys))


@given(st.integers(0, 1_000_000))
def test_plans_are_renewed_more_often_the_less_remains(waiting: int) -> None:
    assert 1 <= plan_again_after(waiting) <= 50
    assert plan_again_after(waiting) <= plan_again_after(waiting + 20)
