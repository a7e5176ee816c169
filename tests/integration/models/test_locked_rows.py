"""A row in somebody's open transaction: the rows beside it are worked on, and nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest

from jobs.attempt.checkpoints import RowCheckpoint
from jobs.attempt.lease_keeper import RunningAttempt
from llm.types import CancelToken
from models import database as pools
from models import orphans
from models.base import fetch_all, fetch_one
from models.database import database, session
from models.task import NewTask, Task


@contextmanager
def locked(url: str, task_id: str) -> Iterator[None]:
    with closing(psycopg2.connect(url)) as other, other.cursor() as cursor:
        cursor.execute("SELECT 1 FROM tasks WHERE id = %s FOR UPDATE", (task_id,))
        yield
        other.rollback()  # at once: a connection that is closed gives its locks up a moment later


def three_tasks() -> list[str]:
    database.execute_sql("SET lock_timeout TO '0.5s'")  # what waits longer than that raises
    return [str(task_id) for task_id in Task.submit([NewTask("t", "d")] * 3)]


def wait_for(task_id: str, parent: str) -> None:
    database.execute_sql("INSERT INTO kos_dependencies VALUES (%s, %s)", (task_id, parent))


def test_a_ring_fails_but_for_the_locked_row(database_here: str) -> None:
    first, second, third = three_tasks()
    for task_id, parent in ((first, second), (second, third), (third, first)):
        wait_for(task_id, parent)

    with locked(database_here, first):
        assert set(orphans.fail_cycles()) == {second, third}

    assert orphans.fail_orphans_of_dependencies() == [first]


def test_rows_behind_a_failed_one_fail_but_for_the_locked_row(database_here: str) -> None:
    failed, first, second = three_tasks()
    fetch_all("UPDATE tasks SET status = 'failed' WHERE id = %s", (failed,))
    wait_for(first, failed)
    wait_for(second, failed)

    with locked(database_here, first):
        assert orphans.fail_orphans_of_dependencies() == [second]

    assert orphans.fail_orphans_of_dependencies() == [first]


def test_a_step_of_a_locked_row_is_kept_with_the_next_one(
    database_here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id, *_ = three_tasks()
    fetch_all("UPDATE tasks SET status = 'in_progress', epoch = 1 WHERE id = %s", (task_id,))
    database.close_all()
    monkeypatch.setattr(pools, "FOR_SESSION", "SET lock_timeout TO '0.05s'")
    running = RunningAttempt(
        task_id=task_id,
        epoch=1,
        backend="b",
        model="m",
        token=CancelToken(),
        thread=threading.current_thread(),
        renewed_at=0.0,
    )
    steps = RowCheckpoint(running, None)

    with locked(database_here, task_id):
        steps.save("one", "first")
    steps.save("two", "second")

    with session():
        assert fetch_one("SELECT checkpoint FROM tasks WHERE id = %s", (task_id,)) == {
            "checkpoint": {"one": "first", "two": "second"}
        }
