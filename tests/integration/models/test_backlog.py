"""Which rows a plan sees of a backlog that is longer than its window."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from models import backlog
from models.backlog import Unservable
from models.base import fetch_all
from models.states import STEP_OF_PRIORITY_SECONDS, Priority, TaskState
from models.task_rows import PendingTask

pytestmark = pytest.mark.usefixtures("database_here")


def wait(count: int, category: str, *, priority: str = "medium", assigned: bool = True) -> None:
    """Rows later than all before, so that they stand behind them."""
    fetch_all(
        """
        INSERT INTO tasks (title, description, status, category, priority, complexity,
          assignee_expert_id, created_at)
        SELECT 't', 'd', 'pending', %s, %s, 0.5,
          CASE WHEN %s THEN gen_random_uuid() END,
          (SELECT coalesce(max(created_at), now() - interval '1 hour') FROM tasks)
            + n * interval '1 millisecond'
        FROM generate_series(1, %s) n RETURNING id
        """,
        (category, priority, assigned, count),
    )


def seen(rows: list[PendingTask]) -> Counter[str | None]:
    return Counter(row.category for row in rows)


def test_a_short_backlog_is_seen_whole() -> None:
    wait(30, "coding")
    wait(20, "fast")

    rows, waiting = backlog.window_of_all_kinds(100, least=64)

    assert seen(rows) == {"coding": 30, "fast": 20}
    assert waiting == {}


def test_a_kind_behind_a_long_backlog_of_another_is_seen_too() -> None:
    wait(300, "coding")
    wait(200, "fast")
    wait(3, "vision")

    rows, waiting = backlog.window_of_all_kinds(100, least=64)

    assert seen(rows) == {"coding": 100, "fast": 64, "vision": 3}
    assert waiting == {"coding": 300, "fast": 200, "vision": 3}
    assert len({row.id for row in rows}) == len(rows)


def test_of_a_hidden_kind_the_most_urgent_come() -> None:
    wait(300, "coding", priority="urgent")
    wait(70, "fast", priority="low")
    wait(70, "fast", priority="high")

    rows, _ = backlog.window_of_all_kinds(100, least=64)

    hidden = [row for row in rows if row.category == "fast"]
    assert {row.priority for row in hidden} == {"high"}
    assert len(hidden) == 64


def test_rows_that_may_not_run_are_not_added() -> None:
    wait(300, "coding")
    wait(50, "fast", assigned=False)

    rows, _ = backlog.window_of_all_kinds(100, least=64)

    assert seen(rows) == {"coding": 100}


def ask(count: int, **metadata: str) -> None:
    fetch_all(
        "INSERT INTO tasks (title, description, category, priority, complexity, metadata, "
        "assignee_expert_id) SELECT 't', 'd', 'coding', 'high', 0.5, %s::jsonb, "
        "gen_random_uuid() FROM generate_series(1, %s) RETURNING id",
        (json.dumps(metadata), count),
    )


def test_rows_that_ask_in_vain_hide_nothing_and_come_back() -> None:
    ask(150, required_backend="mlx")
    ask(150, preferred_model="big")
    ask(150, required_backend="ollama", preferred_model="small")
    wait(5, "fast")
    ask(2, required_backend="ollama")
    ask(2, required_backend="unknown", preferred_model="unknown")
    unservable = Unservable(frozenset({"mlx"}), frozenset({("", "big"), ("ollama", "small")}))

    rows, _ = backlog.window_of_all_kinds(100, least=64, unservable=unservable)

    assert seen(rows) == {"coding": 4, "fast": 5}
    assert len(backlog.window(1000)) == 459


def test_where_all_rows_ask_in_vain_nothing_is_eligible() -> None:
    ask(3, required_backend="mlx")

    assert backlog.anything_eligible()
    assert not backlog.anything_eligible(unservable=Unservable(frozenset({"mlx"})))


def test_hidden_kinds_are_added_without_those_that_ask_in_vain() -> None:
    ask(150)
    ask(20, required_backend="mlx", category="x")
    fetch_all("UPDATE tasks SET category = 'vision' WHERE metadata ? 'category' RETURNING id")

    rows, _ = backlog.window_of_all_kinds(100, least=64, unservable=Unservable(frozenset({"mlx"})))

    assert seen(rows) == {"coding": 100}


@pytest.mark.parametrize("priority", list(Priority))
def test_a_step_of_priority_is_worth_in_sql_what_it_is_worth_in_the_planner(
    priority: Priority,
) -> None:
    [row] = fetch_all(
        "SELECT extract(epoch FROM kos_plan_order('low', now()) - kos_plan_order(%s, now()))::float"
        " AS head_start_seconds",
        (priority.value,),
    )

    assert row["head_start_seconds"] == priority.rank * STEP_OF_PRIORITY_SECONDS


@pytest.mark.parametrize("status", TaskState)
def test_only_a_completed_parent_lets_its_child_run(status: TaskState) -> None:
    wait(2, "fast")
    parent, child = (
        str(row["id"]) for row in fetch_all("SELECT id FROM tasks ORDER BY created_at")
    )
    fetch_all("INSERT INTO kos_dependencies VALUES (%s, %s) RETURNING 1", (child, parent))
    fetch_all("UPDATE tasks SET status = %s WHERE id = %s RETURNING 1", (status.value, parent))

    eligible = {row.id for row in backlog.window(10)} - {parent}

    assert eligible == ({child} if status is TaskState.COMPLETED else set())


@pytest.mark.parametrize("assigned", [False, True], ids=["without an expert", "unclassified"])
def test_an_old_row_is_reached_although_urgent_ones_keep_coming(assigned: bool) -> None:
    wait(1, "old", priority="low", assigned=assigned)
    wait(1, "young", priority="low", assigned=assigned)
    wait(300, "coding", priority="urgent", assigned=assigned)
    fetch_all(
        "UPDATE tasks SET complexity = NULL, created_at = now() - CASE category "
        "WHEN 'old' THEN interval '50 minutes' ELSE interval '1 minute' END RETURNING id"
    )
    read = backlog.unclassified if assigned else backlog.unassigned

    rows = read(100)

    assert [row.category for row in rows] == ["old"] + ["coding"] * 99
    assert {row.priority for row in read(100, only_soonest=True)} == {"urgent"}
