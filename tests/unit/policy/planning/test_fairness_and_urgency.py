from __future__ import annotations

from dataclasses import replace

from jobs.policy.plan import plan
from jobs.policy.types import Plan, RunningTask
from models.states import Priority
from tests.support.plan_builders import (
    CODING,
    FAST,
    REASONING,
    key,
    mlx,
    ollama,
    snapshot,
    task,
    tasks,
)

RUNNING = mlx(resident=("thinker",), current=key("mlx", "thinker"), in_flight=2)


def models(made: Plan, backend: str = "mlx") -> list[str]:
    return [block.key.model for block in made.lane(backend)]


def test_an_overdue_block_passes_the_running_one() -> None:
    waiting = [*tasks(50, REASONING), task("old", FAST, age_seconds=700)]

    made = plan(snapshot(waiting, RUNNING))

    assert models(made) == ["small", "thinker"]
    assert "longest wait" in made.lane("mlx")[0].reason


def test_a_block_that_is_not_overdue_waits() -> None:
    waiting = [*tasks(50, REASONING), task("young", FAST, age_seconds=300)]

    assert models(plan(snapshot(waiting, RUNNING))) == ["thinker", "small"]


def test_when_all_are_overdue_the_running_block_is_not_interrupted() -> None:
    waiting = [
        *(task(f"a{n}", REASONING, age_seconds=2000) for n in range(20)),
        *(task(f"b{n}", FAST, age_seconds=2050) for n in range(20)),
    ]

    assert models(plan(snapshot(waiting, RUNNING))) == ["thinker", "small"]


def test_without_a_running_block_the_oldest_overdue_goes_first() -> None:
    waiting = [*tasks(20, REASONING), task("old", FAST, age_seconds=900)]

    assert models(plan(snapshot(waiting, mlx()))) == ["small", "thinker"]


def test_an_urgent_task_goes_to_the_server_that_has_its_model() -> None:
    waiting = [*tasks(30, REASONING), *tasks(30), task("u", CODING, priority=Priority.URGENT)]
    warm = ollama(resident=("coder",), current=key("ollama", "coder"), in_flight=2)

    running = tuple(
        RunningTask(f"r{n}", where, seconds)
        for n, (where, seconds) in enumerate(
            [(key("mlx", "thinker"), 60.0), (key("ollama", "coder"), 10.0)] * 2
        )
    )

    made = plan(replace(snapshot(waiting, RUNNING, warm), running=running))

    first = made.lane("ollama")[0]
    assert first.task_ids[0] == "u"
    assert first.urgent
    assert models(made)[0] == "thinker"


def test_an_urgent_task_for_a_cold_model_comes_before_the_running_block() -> None:
    waiting = [*tasks(30, REASONING), *tasks(5, FAST), task("u", FAST, priority=Priority.URGENT)]

    made = plan(snapshot(waiting, RUNNING))

    assert models(made) == ["small", "thinker"]
    assert made.blocks[0].task_ids[0] == "u"
    assert len(made.blocks[0].task_ids) == 6


def test_urgent_tasks_of_two_kinds_go_to_two_servers_where_that_is_sooner() -> None:
    urgent = [
        task("u1", REASONING, priority=Priority.URGENT),
        task("u2", FAST, priority=Priority.URGENT),
    ]

    made = plan(snapshot(urgent))

    assert {block.key.backend for block in made.blocks} == {"mlx", "ollama"}
