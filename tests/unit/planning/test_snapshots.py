"""What waits outside the window is taken for a mix like that inside."""

from __future__ import annotations

from datetime import UTC, datetime

from jobs.planning.snapshots import further_tasks
from jobs.policy.types import TaskView
from llm.types import Category
from models.states import Priority

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def views(
    count: int,
    category: Category,
    *,
    model: str | None = None,
    priority: Priority = Priority.MEDIUM,
    complexity: float = 0.5,
) -> list[TaskView]:
    return [
        TaskView(f"{category}-{model}-{priority}-{complexity}-{n}", NOW, priority=priority,
                 category=category, required_model=model, complexity=complexity)
        for n in range(count)
    ]  # fmt: skip


def test_nothing_is_beyond_a_window_that_holds_everything() -> None:
    assert further_tasks(views(5, Category.CODING), {}) == ()


def test_the_rest_of_a_category_is_shared_as_its_window_is() -> None:
    tasks = [*views(30, Category.CODING), *views(10, Category.CODING, model="big")]

    found = further_tasks(tasks, {"coding": 440, "fast": 7})

    assert [(more.like, more.count) for more in found] == [(tasks[0].id, 300), (tasks[30].id, 100)]


def test_slightly_different_complexities_are_one_kind() -> None:
    tasks = [one for n in range(40) for one in views(1, Category.FAST, complexity=n / 100)]

    found = further_tasks(tasks, {"fast": 100})

    assert [more.count for more in found] == [60]


def test_urgent_tasks_stand_for_no_others() -> None:
    tasks = [*views(4, Category.FAST, priority=Priority.URGENT), *views(4, Category.FAST)]

    found = further_tasks(tasks, {"fast": 16})

    assert [(more.like, more.count) for more in found] == [(tasks[4].id, 4)]
