"""Kept counts say what counting would say, hold nobody up, and are put right when wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing

import psycopg2
import pytest

from models import counts, orphans
from models.base import fetch_all
from models.states import TaskState
from models.task import Assigned, Ending, NewTask, Task
from tests.support.queued import queue_rows

pytestmark = pytest.mark.usefixtures("database_here")

OWNER = "host/1/1.0"


def counted() -> tuple[dict[str, int], dict[tuple[str, str], int], dict[str, int]]:
    """By a look at every row."""
    statuses = fetch_all("SELECT status AS key, count(*) AS n FROM tasks GROUP BY 1")
    pending = fetch_all(
        "SELECT coalesce(category, '') AS category, priority, count(*) AS n FROM tasks "
        "WHERE status = 'pending' GROUP BY 1, 2"
    )
    experts = fetch_all(
        "SELECT assignee_expert_id::text AS key, count(*) AS n FROM tasks "
        "WHERE status IN ('pending', 'queued', 'in_progress') AND assignee_expert_id IS NOT NULL "
        "GROUP BY 1"
    )
    return (
        {row["key"]: row["n"] for row in statuses},
        {(row["category"], row["priority"]): row["n"] for row in pending},
        {row["key"]: row["n"] for row in experts},
    )


def kept() -> tuple[dict[str, int], dict[tuple[str, str], int], dict[str, int]]:
    present = {status: n for status, n in counts.by_status().items() if n}
    return present, counts.pending(), counts.open_by_expert()


def submit(count: int) -> list[str]:
    return [i for i in Task.submit([NewTask(f"T{n}", "D") for n in range(count)]) if i]


def expert() -> str:
    return str(fetch_all("SELECT id::text FROM experts LIMIT 1")[0]["id"])


def run_some(ids: list[str]) -> None:
    """Two complete, one fails, one is retried, one is cancelled, one is returned, one runs."""
    Task.assign([Assigned(i, expert(), "coding", 0.5) for i in ids])
    sent = queue_rows(ids)
    for task_id, epoch in sent[:-1]:
        assert Task.claim(task_id, epoch, owner=OWNER, lease_seconds=60)
    for task_id, epoch in sent[:2]:
        assert Task.complete(task_id, epoch, Ending(), result="r", score=1.0)
    assert Task.fail(*sent[2], Ending(error="e", error_code="c"))
    assert Task.retry(*sent[3], Ending(), at=None, spend_attempt=True)
    Task.cancel([sent[4][0]])
    assert Task.finish_cancel(*sent[4], Ending())
    orphans.return_queued_at("ollama", reason="it is away")


def test_counts_follow_every_transition_folded_or_not() -> None:
    run_some(submit(8))
    submit(5)
    queue_rows(submit(2))

    assert kept() == counted()
    counts.fold()
    assert kept() == counted()
    fetch_all("UPDATE tasks SET priority = 'high', category = 'fast' WHERE status = 'pending'")
    fetch_all("DELETE FROM tasks WHERE status = 'failed'")
    assert kept() == counted()
    counts.fold()
    counts.fold()
    assert kept() == counted()
    assert fetch_all("SELECT 1 FROM kos_count_changes") == []


@pytest.mark.parametrize(
    "past_the_triggers",
    [
        "SET session_replication_role = replica; {}; SET session_replication_role = DEFAULT",
        "ALTER TABLE tasks DISABLE TRIGGER USER; {}; ALTER TABLE tasks ENABLE TRIGGER USER",
    ],
)
def test_what_passed_the_triggers_by_is_put_right_by_a_recount(past_the_triggers: str) -> None:
    run_some(submit(8))
    counts.fold()
    statement = "DELETE FROM tasks WHERE status = 'completed'"
    fetch_all(past_the_triggers.format(statement))
    assert kept() != counted()

    assert counts.recount() == 2

    assert kept() == counted()
    assert counts.recount() == 0


def test_a_table_that_is_emptied_counts_nothing() -> None:
    submit(3)
    counts.fold()
    submit(1)

    fetch_all("TRUNCATE tasks")

    assert kept() == ({}, {}, {})
    assert counts.by_status() == {state.value: 0 for state in TaskState}


def with_a_strangers_transaction(url: str, work: Callable[[], None]) -> None:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO tasks (title) SELECT 'theirs' FROM generate_series(1, 3)")
            work()
        connection.commit()
    finally:
        connection.close()


def test_somebodys_open_transaction_holds_up_no_count(database_here: str) -> None:
    def work() -> None:
        run_some(submit(8))
        counts.fold()
        assert kept() == counted()

    fetch_all("SET lock_timeout = '1s'")
    with_a_strangers_transaction(database_here, work)
    counts.fold()

    assert kept() == counted()
    assert counts.by_status()["pending"] >= 3


def test_a_task_that_moves_while_it_is_counted_is_counted_once(database_here: str) -> None:
    submit(3)
    stop = threading.Event()

    def move() -> None:
        connection = psycopg2.connect(database_here)
        connection.autocommit = True
        with closing(connection), connection.cursor() as cursor:
            while not stop.is_set():
                for status in ("in_progress", "completed", "pending"):
                    cursor.execute("UPDATE tasks SET status = %s", [status])

    mover = threading.Thread(target=move)
    mover.start()
    try:
        totals = {sum(counts.by_status().values()) for _ in range(300)}
    finally:
        stop.set()
        mover.join(timeout=30)

    assert totals == {3}


def test_a_change_of_an_expert_is_a_new_revision() -> None:
    before = counts.revision_of_experts()
    fetch_all("UPDATE experts SET role = 'x'")
    changed = counts.revision_of_experts()
    counts.fold()

    assert before < changed == counts.revision_of_experts()
