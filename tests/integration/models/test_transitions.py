"""Every transition of a task, and what the fence refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from models import attempt, backlog, orphans
from models.base import fetch_all, fetch_one
from models.expert import Expert
from models.states import TaskState
from models.task import Assigned, Claimed, Ending, Measures, NewTask, Task
from tests.support.queued import queue_rows

OWNER = "host/1/1.0"

pytestmark = pytest.mark.usefixtures("database_here")


def submit(**fields: object) -> str:
    task_id = Task.submit([NewTask(title="t", description="d", **fields)])[0]  # type: ignore[arg-type]
    assert task_id is not None
    return task_id


def queue(task_id: str) -> int:
    queued = queue_rows([task_id], backend="ollama", model="m")
    assert len(queued) == 1
    return queued[0][1]


def claim(task_id: str, epoch: int, owner: str = OWNER) -> Claimed:
    claimed = Task.claim(task_id, epoch, owner=owner, lease_seconds=60)
    assert claimed is not None
    return claimed


def running() -> tuple[str, int]:
    task_id = submit()
    epoch = queue(task_id)
    claim(task_id, epoch)
    return task_id, epoch


def state(task_id: str) -> str:
    row = fetch_one("SELECT status FROM tasks WHERE id = %s", (task_id,))
    assert row is not None
    return str(row["status"])


def finish(task_id: str, epoch: int, result: str = "done") -> bool:
    return Task.complete(task_id, epoch, Ending(measures=Measures()), result=result, score=1.0)


def test_a_task_lives_from_pending_to_completed_with_one_line_in_the_ledger() -> None:
    task_id, epoch = running()

    assert finish(task_id, epoch)

    assert state(task_id) == "completed"
    assert [line.outcome for line in attempt.of_task(task_id)] == ["completed"]


def test_an_outcome_counts_as_written_only_when_the_worker_of_that_epoch_wrote_it() -> None:
    task_id, epoch = running()
    assert not attempt.was_ended(task_id, epoch)

    assert finish(task_id, epoch)
    assert attempt.was_ended(task_id, epoch)
    assert not attempt.was_ended(task_id, epoch + 1)

    for outcome in ("lost", "taken_over"):
        fetch_one("UPDATE kos_attempts SET outcome = %s RETURNING id", (outcome,))
        assert not attempt.was_ended(task_id, epoch)


def test_the_same_key_is_one_task() -> None:
    first = submit(idempotency_key="k")

    again = Task.submit([NewTask(title="t", description="d", idempotency_key="k")])

    assert again == [None]
    assert first is not None


def test_a_task_is_queued_once_and_each_dispatch_raises_the_epoch() -> None:
    task_id = submit()
    first = queue(task_id)

    assert queue_rows([task_id], backend="mlx", model="m") == []
    assert Task.give_back(task_id, first)
    assert queue(task_id) == first + 1


def test_an_old_message_claims_nothing() -> None:
    task_id = submit()
    first = queue(task_id)
    Task.give_back(task_id, first)
    queue(task_id)

    assert Task.claim(task_id, first, owner=OWNER, lease_seconds=60) is None


def test_a_zombie_cannot_finish_a_newer_attempt() -> None:
    task_id, zombie_epoch = running()
    fetch_all(
        "UPDATE tasks SET lease_expires_at = now() - interval '1 s' WHERE id = %s", (task_id,)
    )
    orphans.return_expired()
    epoch = queue(task_id)
    claim(task_id, epoch, owner="host/2/2.0")

    assert not finish(task_id, zombie_epoch, "from the grave")
    assert finish(task_id, epoch, "alive")

    row = fetch_one("SELECT result FROM tasks WHERE id = %s", (task_id,))
    assert row == {"result": "alive"}
    assert [line.outcome for line in attempt.of_task(task_id)] == ["lost", "completed"]


def test_a_heartbeat_keeps_only_what_is_ours() -> None:
    mine, epoch = running()
    other = submit()
    other_epoch = queue(other)
    claim(other, other_epoch, owner="host/9/9.0")

    kept = Task.heartbeat(
        OWNER, [(mine, epoch, {"phase": "decoding"}), (other, other_epoch, {})], lease_seconds=60
    )

    assert kept == {mine}


def test_a_retry_waits_and_remembers_where_it_failed() -> None:
    task_id, epoch = running()
    at = datetime.now(UTC) + timedelta(minutes=5)

    Task.retry(
        task_id, epoch, Ending(error="boom", error_code="stall"), at=at, spend_attempt=True,
        avoid=("ollama", "m"),
    )  # fmt: skip

    row = fetch_one("SELECT status, attempt_count, avoid FROM tasks WHERE id = %s", (task_id,))
    assert row == {"status": "pending", "attempt_count": 1, "avoid": [["ollama", "m"]]}
    assert queue_rows([task_id], backend="mlx", model="m") == []


def test_interrupted_work_spends_no_attempt() -> None:
    task_id, epoch = running()

    Task.retry(task_id, epoch, Ending(error="drain"), at=None, spend_attempt=False)

    row = fetch_one("SELECT status, attempt_count FROM tasks WHERE id = %s", (task_id,))
    assert row == {"status": "pending", "attempt_count": 0}
    assert attempt.of_task(task_id)[0].outcome == "interrupted"


@pytest.mark.parametrize("step", ["pending", "queued"])
def test_a_waiting_task_is_cancelled_at_once_and_stays_so(step: str) -> None:
    task_id = submit()
    epoch = queue(task_id) if step == "queued" else 0

    assert Task.cancel([task_id]) == {task_id: "cancelled"}

    assert Task.claim(task_id, epoch, owner=OWNER, lease_seconds=60) is None
    assert queue_rows([task_id], backend="mlx", model="m") == []


def test_a_cancel_of_a_running_task_beats_its_completion() -> None:
    task_id, epoch = running()

    assert Task.cancel([task_id]) == {task_id: "in_progress"}

    assert Task.held_leases(OWNER, [task_id]) == {task_id: (epoch, True)}
    assert not finish(task_id, epoch)
    assert Task.finish_cancel(task_id, epoch, Ending(error="cancelled"))
    assert state(task_id) == "cancelled"


def test_no_recovery_revives_a_cancelled_task() -> None:
    task_id, _ = running()
    Task.cancel([task_id])
    fetch_all(
        "UPDATE tasks SET lease_expires_at = now() - interval '1 s' WHERE id = %s", (task_id,)
    )

    returned = orphans.return_expired()

    assert [(one.id, one.state) for one in returned] == [(task_id, TaskState.CANCELLED)]


def test_the_third_crash_is_poison() -> None:
    task_id = submit()
    for _ in range(3):
        claim(task_id, queue(task_id))
        orphans.return_of_dead([OWNER], max_crashes=3)

    row = fetch_one("SELECT status, crash_count, last_error FROM tasks WHERE id = %s", (task_id,))
    assert row is not None
    assert (row["status"], row["crash_count"]) == ("failed", 3)
    assert row["last_error"].startswith("poison: 3 crashes")


def test_a_row_of_an_older_worker_returns_by_its_age_alone() -> None:
    task_id = submit()
    fetch_all("ALTER TABLE tasks DISABLE TRIGGER kos_touch_updated_at")
    fetch_all(
        "UPDATE tasks SET status = 'in_progress', updated_at = now() - interval '16 minutes' "
        "WHERE id = %s",
        (task_id,),
    )

    assert orphans.return_foreign(stuck_minutes=20) == []
    assert len(orphans.return_foreign(stuck_minutes=15)) == 1

    row = fetch_one(
        "SELECT status, attempt_count, crash_count FROM tasks WHERE id = %s", (task_id,)
    )
    assert row == {"status": "pending", "attempt_count": 0, "crash_count": 0}


def test_a_queued_row_without_its_message_returns() -> None:
    kept, lost = submit(), submit()
    kept_epoch, _ = queue(kept), queue(lost)

    returned = orphans.return_without_message([f"{kept}:{kept_epoch}"], grace_seconds=0)

    assert [one.id for one in returned] == [lost]


def test_a_dependent_task_waits_and_fails_with_its_dependency() -> None:
    first = submit()
    second = Task.submit([NewTask(title="t", description="d", after=(first,))])[0]
    assert second is not None
    expert = Expert.select().first()
    for task_id in (first, second):
        Task.assign([Assigned(task_id, str(expert.id), category="fast", complexity=0.1)])
    assert [row.id for row in backlog.window(10)] == [first]

    epoch = queue(first)
    claim(first, epoch)
    Task.fail(first, epoch, Ending(error="no", error_code="x"))

    assert orphans.fail_orphans_of_dependencies() == [second]
    assert state(second) == "failed"


def test_the_window_is_in_the_order_of_priority_and_age() -> None:
    low, urgent, medium = (submit(priority=p) for p in ("low", "urgent", "medium"))
    expert = Expert.select().first()
    for task_id in (low, urgent, medium):
        Task.assign([Assigned(task_id, str(expert.id), category="fast", complexity=0.1)])

    assert [row.id for row in backlog.window(10)] == [urgent, medium, low]


def test_redrive_gives_failed_tasks_a_fresh_start() -> None:
    task_id, epoch = running()
    Task.fail(task_id, epoch, Ending(error="no", error_code="x"))

    assert Task.redrive([task_id]) == {task_id: "pending"}

    row = fetch_one(
        "SELECT status, attempt_count, last_error, avoid FROM tasks WHERE id = %s", (task_id,)
    )
    assert row == {"status": "pending", "attempt_count": 0, "last_error": None, "avoid": None}


def test_redrive_elsewhere_avoids_where_it_was_tried() -> None:
    task_id, epoch = running()
    Task.fail(task_id, epoch, Ending(error="no", error_code="x"))

    Task.redrive([task_id], avoid_tried=True)

    assert fetch_one("SELECT avoid FROM tasks WHERE id = %s", (task_id,)) == {
        "avoid": [["ollama", "m"]]
    }


def test_a_cancelled_task_that_is_tried_again_is_not_cancelled_again() -> None:
    task_id, epoch = running()
    Task.cancel([task_id])
    assert Task.finish_cancel(task_id, epoch, Ending(measures=Measures()))

    assert Task.redrive([task_id]) == {task_id: "pending"}

    again = queue(task_id)
    claim(task_id, again)
    assert finish(task_id, again)
    assert state(task_id) == "completed"


@pytest.mark.parametrize("parent_ends", ["failed", "cancelled"])
def test_what_hangs_on_a_task_that_was_not_completed_never_runs_and_fails(parent_ends: str) -> None:
    expert = Expert.select().first()
    parent = submit()
    child = submit(after=(parent,))
    Task.assign([Assigned(child, str(expert.id), category="fast", complexity=0.1)])
    if parent_ends == "cancelled":
        Task.cancel([parent])
    else:
        epoch = queue(parent)
        claim(parent, epoch)
        Task.fail(parent, epoch, Ending(measures=Measures(), error="no"))

    assert backlog.window(10) == []
    orphans.fail_orphans_of_dependencies()

    assert state(child) == "failed"


def test_a_row_whose_time_has_not_come_is_not_in_the_window() -> None:
    expert = Expert.select().first()
    task_id = submit()
    Task.assign([Assigned(task_id, str(expert.id), category="fast", complexity=0.1)])
    assert [row.id for row in backlog.window(10)] == [task_id]

    Task.postpone([task_id], at=datetime.now(UTC) + timedelta(minutes=1), reason="later")
    assert backlog.window(10) == []

    Task.postpone([task_id], at=datetime.now(UTC) - timedelta(minutes=1), reason="now")
    assert [row.id for row in backlog.window(10)] == [task_id]
