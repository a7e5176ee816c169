from __future__ import annotations

from dataclasses import replace

import pytest

from jobs.policy.plan import plan
from jobs.policy.types import FurtherTasks, PlannedBlock, RunningTask
from llm.types import Category
from models.states import Priority
from tests.support.plan_builders import (
    CODING,
    FAST,
    MODELS,
    REASONING,
    key,
    mlx,
    ollama,
    snapshot,
    task,
    tasks,
)


def lane(blocks: tuple[PlannedBlock, ...], backend: str) -> list[str]:
    return [block.key.model for block in blocks if block.key.backend == backend]


def test_a_block_is_kept_whole() -> None:
    mixed = [t for pair in zip(tasks(20), tasks(20, FAST), strict=True) for t in pair]

    made = plan(snapshot(mixed, mlx()))

    assert lane(made.blocks, "mlx") == ["coder", "small"]


def test_two_servers_share_the_work_so_that_they_end_together() -> None:
    made = plan(snapshot(tasks(100)))

    ends = {block.key.backend: block.expected_finish_seconds for block in made.blocks}
    assert set(ends) == {"mlx", "ollama"}
    assert abs(ends["mlx"] - ends["ollama"]) < 0.1 * max(ends.values())


def test_a_few_tasks_do_not_open_a_second_server() -> None:
    made = plan(snapshot(tasks(3, FAST)))

    assert [(b.key.backend, len(b.task_ids)) for b in made.blocks] == [("mlx", 3)]


@pytest.mark.parametrize(("count", "servers"), [(3, 1), (7, 1), (12, 2)])
def test_a_load_must_gain_more_than_chance_may_move_the_end(count: int, servers: int) -> None:
    made = plan(snapshot(tasks(count), mlx(resident=("coder",)), ollama()))

    assert len({block.key.backend for block in made.blocks}) == servers


@pytest.mark.parametrize(("count", "shares"), [(1, {"ollama": 1}), (6, {"mlx": 3, "ollama": 3})])
def test_only_a_server_without_a_model_serves_nothing_during_its_first_load(
    count: int, shares: dict[str, int]
) -> None:
    empty, loaded = mlx(max_resident=2), ollama(max_resident=2, resident=("coder",))

    made = plan(snapshot(tasks(count), empty, loaded))

    assert {block.key.backend: len(block.task_ids) for block in made.blocks} == shares


def test_the_resident_model_is_preferred_over_a_load() -> None:
    made = plan(snapshot(tasks(2), mlx(resident=("small",)), ollama(resident=("coder",))))

    assert made.blocks[0].key == key("ollama", "coder")
    assert not made.blocks[0].needs_load


def test_the_running_block_goes_on_when_planning_again() -> None:
    waiting = [*tasks(5, FAST), *tasks(30, REASONING)]
    running = mlx(resident=("small",), current=key("mlx", "small"), in_flight=2)

    made = plan(snapshot(waiting, running))

    assert lane(made.blocks, "mlx") == ["small", "thinker"]


def test_long_tasks_come_before_short_ones_so_that_the_end_is_smooth() -> None:
    made = plan(snapshot([*tasks(9, FAST), *tasks(9, REASONING), *tasks(9)], mlx()))

    assert lane(made.blocks, "mlx") == ["thinker", "coder", "small"]


def test_a_block_of_higher_priority_comes_first() -> None:
    urgent = [task(f"h{n}", FAST, priority=Priority.HIGH) for n in range(5)]

    made = plan(snapshot([*tasks(9, REASONING), *urgent], mlx()))

    assert lane(made.blocks, "mlx") == ["small", "thinker"]


def test_work_that_runs_already_counts() -> None:
    given = snapshot(tasks(40))
    busy = tuple(RunningTask(f"r{n}", key("mlx", "thinker"), 400.0) for n in range(2))

    idle, loaded = plan(given), plan(replace(given, running=busy))

    def at_mlx(made: tuple[PlannedBlock, ...]) -> int:
        return sum(len(block.task_ids) for block in made if block.key.backend == "mlx")

    assert at_mlx(loaded.blocks) < at_mlx(idle.blocks)


def test_tasks_beyond_the_window_weigh_in_the_balance() -> None:
    few = [*tasks(4, FAST), *tasks(4)]
    given = snapshot(few)

    made = plan(replace(given, beyond=(FurtherTasks("coding-000", 500),)))

    assert {b.key.backend for b in made.blocks if b.key.model == "coder"} == {"mlx", "ollama"}


def test_a_preferred_source_is_followed_where_it_costs_little() -> None:
    waiting = [task(n, CODING, preferred_source="ollama") for n in range(2)]
    models = tuple(replace(m, load_seconds=5.0, service_seconds=20.0) for m in MODELS)

    made = plan(snapshot(waiting, models=models))

    assert made.blocks[0].key.backend == "ollama"


def test_a_required_backend_and_an_asked_model_are_kept() -> None:
    waiting = [task(1, FAST, required_backend="ollama", required_model="thinker")]

    made = plan(snapshot(waiting))

    assert made.blocks[0].key == key("ollama", "thinker")
    assert {r.option for r in made.routes[0].rejected} >= {"mlx/thinker", "ollama/small"}


def test_a_task_waits_for_the_backend_it_requires() -> None:
    waiting = [task(1, FAST, required_backend="ollama")]

    made = plan(snapshot(waiting, mlx(), ollama(unavailable="breaker open")))

    assert not made.blocks
    assert any(r.reason == "breaker open" for r in made.unplaced[0].rejected)


def test_what_failed_before_is_avoided_while_there_is_another_way() -> None:
    waiting = [task(1, avoid=frozenset({("mlx", "coder")}))]
    only_mlx = [task(2, avoid=frozenset({("mlx", "coder")}), required_backend="mlx")]

    assert plan(snapshot(waiting)).blocks[0].key.backend == "ollama"
    assert plan(snapshot(only_mlx)).blocks[0].key.backend == "mlx"


def test_a_category_without_a_model_falls_back_to_a_general_one() -> None:
    general = replace(MODELS[1], name="general", categories=(Category.DEFAULT,))

    made = plan(snapshot([task(1, Category.VISION)], mlx(), models=(*MODELS[:3], general)))

    assert made.blocks[0].key == key("mlx", "general")


def test_another_context_size_is_another_block_at_ollama_only() -> None:
    waiting = [task(1, num_ctx=8192), task(2), task(3, num_ctx=8192)]

    at_ollama = plan(snapshot(waiting, ollama())).blocks
    at_mlx = plan(snapshot(waiting, mlx())).blocks

    assert {block.key.num_ctx for block in at_ollama} == {0, 8192}
    assert [block.key.num_ctx for block in at_mlx] == [0]


def test_one_server_begins_heavy_and_the_other_light_where_two_heavy_do_not_fit() -> None:
    waiting = [*tasks(40, REASONING), *tasks(40), *tasks(60, FAST)]

    made = plan(snapshot(waiting, allow_two_heavy=False))

    first = {b: next(x for x in made.blocks if x.key.backend == b).heavy for b in ("mlx", "ollama")}
    assert sorted(first.values()) == [False, True]


def test_within_a_block_priority_then_bugs_then_age_decide() -> None:
    waiting = [
        task("plain", age_seconds=50),
        task("older", age_seconds=100),
        task("buggy", bug_probability=0.9),
        task("high", priority=Priority.HIGH),
        task("urgent", priority=Priority.URGENT),
        task("overdue", age_seconds=800, priority=Priority.LOW),
    ]

    made = plan(snapshot(waiting, mlx()))

    ordered = ["urgent", "overdue", "high", "buggy", "older", "plain"]
    assert list(made.blocks[0].task_ids) == ordered
