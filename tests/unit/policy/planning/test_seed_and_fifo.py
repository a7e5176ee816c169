from __future__ import annotations

from jobs.policy.plan import plan
from jobs.policy.types import Plan, PolicyName
from models.states import Priority
from tests.support.plan_builders import CODING, FAST, REASONING, mlx, ollama, snapshot, task, tasks

SEED = PolicyName.SEED


def queue(made: Plan, backend: str) -> list[str]:
    return [task_id for block in made.lane(backend) for task_id in block.task_ids]


def test_seed_takes_a_batch_of_fifty() -> None:
    made = plan(snapshot(tasks(120), policy=SEED))

    assert sum(len(block.task_ids) for block in made.blocks) == 50


def test_seed_alternates_the_sources_under_pairing() -> None:
    made = plan(snapshot(tasks(6), policy=SEED))

    assert queue(made, "mlx") == ["coding-000", "coding-002", "coding-004"]
    assert queue(made, "ollama") == ["coding-001", "coding-003", "coding-005"]


def test_seed_interleaves_the_blocks_of_one_server_task_by_task() -> None:
    waiting = [task(f"{n:02}", (REASONING, FAST)[n // 2 % 2]) for n in range(8)]

    made = plan(snapshot(waiting, policy=SEED))

    assert [block.key.model for block in made.lane("mlx")] == [
        "thinker", "small", "thinker", "small",
    ]  # fmt: skip


def test_seed_without_interleaving_sends_mlx_heavy_then_light() -> None:
    waiting = [task(f"{n:02}", (FAST, REASONING)[n // 2 % 2]) for n in range(8)]

    made = plan(snapshot(waiting, policy=SEED, interleave_blocks=False))

    assert [block.key.model for block in made.lane("mlx")] == ["thinker", "small"]
    assert [block.key.model for block in made.lane("ollama")] == ["small", "thinker"]


def test_seed_without_pairing_routes_by_complexity() -> None:
    waiting = [
        task("hard", REASONING, complexity=0.9),
        task("easy", CODING, complexity=0.2),
        task("quick", FAST, complexity=0.5),
        task("liked", CODING, preferred_source="mlx"),
        task("buggy", CODING, bug_probability=0.9),
        task("sound", CODING, bug_probability=0.1),
    ]

    made = plan(snapshot(waiting, policy=SEED, heavy_light_pairing=False))

    assert set(queue(made, "mlx")) == {"hard", "liked", "buggy"}
    assert set(queue(made, "ollama")) == {"easy", "quick", "sound"}


def test_seed_uses_the_other_source_where_one_is_missing() -> None:
    made = plan(snapshot(tasks(4), ollama(), policy=SEED))

    assert len(queue(made, "ollama")) == 4


def test_fifo_keeps_the_order_of_priority_and_arrival() -> None:
    waiting = [
        task("late", FAST, age_seconds=1),
        task("early", REASONING, age_seconds=9),
        task("high", CODING, priority=Priority.HIGH),
    ]

    made = plan(snapshot(waiting, mlx(), policy=PolicyName.FIFO))

    assert queue(made, "mlx") == ["high", "early", "late"]
