from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.process.clock import epoch_seconds
from jobs.queues.names import CONTROL_QUEUE, NAMESPACE
from jobs.runtime import Runtime, connect
from jobs.settings.load import load
from jobs.upkeep import maintenance
from models import database, retention
from models.base import fetch_all
from models.batch import OPEN
from models.task import NewTask, Task

KEEP_DAYS = 30


@pytest.fixture
def runtime(migrated_url: str, redis_url: str, tmp_path: Path) -> Iterator[Runtime]:
    settings = load(
        {"DATABASE_URL": migrated_url, "REDIS_URL": redis_url, "KOS_HOME": str(tmp_path)}
    )
    made = connect(settings, program="test")
    with database.session():
        yield made
    made.close()


def add(status: str, *, days_ago: float, after: tuple[str, ...] = ()) -> str:
    """A task that ended so long ago, or was written then, with an attempt and a decision."""
    (task_id,) = Task.submit([NewTask("title", "description", after=after)])
    assert task_id is not None
    execute(
        "UPDATE tasks SET status = %(status)s, created_at = now() - interval '99 days', "
        "completed_at = now() - %(days)s * interval '1 day' WHERE id = %(id)s",
        status=status, days=days_ago, id=task_id,
    )  # fmt: skip
    execute("INSERT INTO kos_attempts (task_id, number, epoch) VALUES (%(id)s, 1, 1)", id=task_id)
    execute(
        "INSERT INTO kos_decisions (task_id, stage, reason) VALUES (%(id)s, 'plan', 'r')",
        id=task_id,
    )
    return task_id


def execute(sql: str, **parameters: object) -> None:
    fetch_all(sql, parameters)


def left(table: str = "tasks", column: str = "id") -> set[str]:
    return {row["id"] for row in fetch_all(f"SELECT {column}::text AS id FROM {table}")}


def pruned() -> int:
    return retention.prune(KEEP_DAYS, limit=100)


def test_what_ended_long_ago_goes_with_all_that_is_told_about_it(runtime: Runtime) -> None:
    for status in ("completed", "failed", "cancelled"):
        add(status, days_ago=31)
    young = add("completed", days_ago=29)
    foreign, waiting = add("on_hold", days_ago=31), add("pending", days_ago=31)

    assert pruned() == 3

    kept = {young, foreign, waiting}
    assert left() == left("kos_attempts", "task_id") == left("kos_decisions", "task_id") == kept


@pytest.mark.parametrize(("status", "days_ago"), [("pending", 31), ("failed", 1)])
def test_what_somebody_waits_for_or_may_be_retried_with_stays(
    runtime: Runtime, status: str, days_ago: float
) -> None:
    first = add("completed", days_ago=60)
    second = add("completed", days_ago=50, after=(first,))
    third = add(status, days_ago=days_ago, after=(second,))

    assert pruned() == 1
    assert left() == {second, third}
    assert left("kos_dependencies", "depends_on_id") == {second}


def test_tasks_that_depend_on_one_another_go_together(runtime: Runtime) -> None:
    first = add("failed", days_ago=60)
    second = add("failed", days_ago=60, after=(first,))
    execute("INSERT INTO kos_dependencies VALUES (%(a)s, %(b)s)", a=first, b=second)

    assert pruned() == 2
    assert left("kos_dependencies", "task_id") == set()


@pytest.mark.parametrize(
    ("status", "stays"), [*((status, True) for status in OPEN), ("completed", False)]
)
def test_an_open_batch_keeps_its_tasks(runtime: Runtime, status: str, stays: bool) -> None:
    task_id = add("completed", days_ago=60)
    execute(
        "INSERT INTO kos_batches (id, input_file_id, endpoint, completion_window, status) "
        "VALUES ('b', 'f', '/v1', '24h', %(status)s)",
        status=status,
    )
    execute("INSERT INTO kos_batch_lines VALUES ('b', 1, 'k', %(id)s)", id=task_id)

    assert pruned() == int(not stays)
    assert left("kos_batch_lines", "task_id") == ({task_id} if stays else set())


def test_nothing_is_deleted_unless_it_is_asked_for(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        add("completed", days_ago=60)
    monkeypatch.setattr(maintenance, "TASKS_A_BATCH", 2)

    assert maintenance.prune(runtime.settings, runtime.redis)["tasks"] == 0
    settings = replace(runtime.settings, tasks_keep_days=KEEP_DAYS)
    assert maintenance.prune(settings, runtime.redis)["tasks"] == 5


@pytest.mark.parametrize(("days", "stays"), [(0.9, True), (1.1, False)])
def test_dead_letters_are_kept_for_their_days(runtime: Runtime, days: float, stays: bool) -> None:
    key = f"{NAMESPACE}:{CONTROL_QUEUE}.XQ"
    buried_ms = int((epoch_seconds() - days * 86_400) * 1000)
    runtime.redis.zadd(key, {"letter": buried_ms})
    runtime.redis.hset(f"{key}.msgs", "letter", "{}")

    settings = replace(runtime.settings, dead_letters_keep_days=1)
    assert maintenance.prune(settings, runtime.redis)["dead_letters"] == int(not stays)

    assert (runtime.redis.zcard(key), runtime.redis.hlen(f"{key}.msgs")) == (stays, stays)


def test_a_reference_of_the_site_is_respected_and_named(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    task_id = add("completed", days_ago=60)
    execute("CREATE TABLE notes (task_id uuid REFERENCES tasks(id))")
    execute("INSERT INTO notes VALUES (%(id)s)", id=task_id)
    settings = replace(runtime.settings, tasks_keep_days=KEEP_DAYS)

    assert maintenance.prune(settings, runtime.redis)["tasks"] == 0

    assert left() == {task_id}
    assert "notes" in caplog.text
