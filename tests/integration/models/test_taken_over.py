"""Another program writes a row that ours works on: attempt, lease and reason tell the truth."""

from __future__ import annotations

import psycopg2
import pytest

from models import orphans
from models.base import fetch_all
from models.task import Ending, NewTask, Task
from tests.support.queued import queue_rows

OWNER = "host/1/1.0"


@pytest.fixture
def running(database_here: str) -> str:
    """The id of a task in progress."""
    (task_id,) = Task.submit([NewTask(title="t", description="d")])
    assert task_id is not None
    ((_, epoch),) = queue_rows([task_id], backend="mlx", model="m")
    assert Task.claim(task_id, epoch, owner=OWNER, lease_seconds=60) is not None
    return task_id


def by_another_program(url: str, statement: str) -> int:
    """How many rows it changed or returned."""
    connection = psycopg2.connect(url, application_name="orchestrator")
    try:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(statement)
        return cursor.rowcount
    finally:
        connection.close()


@pytest.mark.parametrize("status", ["pending", "completed", "failed", "cancelled"])
def test_a_status_from_outside_closes_the_attempt(
    database_here: str, running: str, status: str
) -> None:
    by_another_program(database_here, f"UPDATE tasks SET status = '{status}'")

    (task,) = fetch_all("SELECT * FROM tasks")
    assert task["status"] == status
    assert (task["lease_owner"], task["lease_expires_at"], task["progress"]) == (None, None, None)
    assert (task["completed_at"] is not None) == (status != "pending")
    (attempt,) = fetch_all("SELECT outcome, error, finished_at FROM kos_attempts")
    assert attempt["outcome"] == "taken_over"
    assert attempt["error"] == f"taken over: another program set the task to {status}"
    assert attempt["finished_at"] is not None
    (why,) = fetch_all("SELECT reason FROM kos_decisions WHERE stage = 'retry'")
    assert why["reason"] == attempt["error"]
    assert not Task.heartbeat(OWNER, [(running, 1, {})], lease_seconds=60)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE public.tasks SET status = 'pending'",
        "DELETE FROM public.tasks",
        "INSERT INTO public.tasks (title, metadata) "
        """VALUES ('t', '{"next_retry_after": "2099-01-01"}')""",
    ],
)
def test_programs_that_write_the_name_of_the_schema_need_no_search_path(
    database_here: str, running: str, statement: str
) -> None:
    assert by_another_program(database_here, f"SET search_path = ''; {statement}") == 1


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("DELETE FROM tasks", "another program deleted the task"),
        ("UPDATE tasks SET epoch = epoch + 7", "set the task to in_progress and its epoch to 8"),
    ],
)
def test_a_delete_or_an_epoch_from_outside_closes_it_too(
    database_here: str, running: str, statement: str, says: str
) -> None:
    by_another_program(database_here, statement)

    (attempt,) = fetch_all("SELECT outcome, error FROM kos_attempts")
    assert attempt["outcome"] == "taken_over"
    assert says in attempt["error"]


def test_its_own_time_of_completion_is_kept(database_here: str, running: str) -> None:
    by_another_program(
        database_here, "UPDATE tasks SET status = 'completed', completed_at = '2026-01-02'"
    )

    (task,) = fetch_all("SELECT completed_at FROM tasks")
    assert task["completed_at"].year == 2026
    assert task["completed_at"].month == 1


def test_a_role_that_knows_only_its_tables_may_write(database_here: str, running: str) -> None:
    by_another_program(
        database_here,
        "CREATE ROLE narrow_role; GRANT SELECT, UPDATE ON tasks TO narrow_role; "
        "SET ROLE narrow_role; UPDATE tasks SET status = 'cancelled'; RESET ROLE; "
        "DROP OWNED BY narrow_role; DROP ROLE narrow_role",
    )

    assert fetch_all("SELECT outcome FROM kos_attempts") == [{"outcome": "taken_over"}]


def test_recovery_closes_what_no_trigger_saw(database_here: str, running: str) -> None:
    by_another_program(
        database_here,
        "SET session_replication_role = replica; UPDATE tasks SET status = 'completed'",
    )

    assert orphans.close_taken_over() == 1
    assert orphans.close_taken_over() == 0


def test_our_own_writes_are_no_takeover(database_here: str, running: str) -> None:
    orphans.return_of_dead([OWNER], max_crashes=3)

    assert fetch_all("SELECT outcome FROM kos_attempts") == [{"outcome": "lost"}]


def test_a_claim_of_another_worker_finds_nothing_while_our_lease_holds(
    database_here: str, running: str
) -> None:
    claim = "UPDATE tasks SET status = 'in_progress', updated_at = now() RETURNING id"

    assert by_another_program(database_here, claim) == 0
    edit = "UPDATE tasks SET status = 'in_progress', title = 'edited'"
    assert by_another_program(database_here, edit) == 1
    assert Task.heartbeat(OWNER, [(running, 1, {})], lease_seconds=0)  # runs out at once
    assert by_another_program(database_here, claim) == 1

    assert fetch_all("SELECT title FROM tasks") == [{"title": "edited"}]


def test_a_late_answer_is_not_written_over_the_work_of_another_worker(
    database_here: str, running: str
) -> None:
    by_another_program(database_here, "UPDATE tasks SET status = 'pending'")
    by_another_program(database_here, "UPDATE tasks SET status = 'in_progress'")

    assert not Task.complete(running, 1, Ending(), result="late", score=1.0)

    assert fetch_all("SELECT status, result FROM tasks") == [
        {"status": "in_progress", "result": None}
    ]
    assert fetch_all("SELECT outcome FROM kos_attempts") == [{"outcome": "taken_over"}]
