"""What a statement changes of its row, and which rows, attempts and blocks it leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from models import attempt, backlog, block, feedback, orphans
from models.base import fetch_all, fetch_one
from models.database import database
from models.states import TaskState
from models.task import Assigned, Ending, Measures, Task
from tests.integration.models.test_blocks import plan, planned, send
from tests.integration.models.test_blocks import submit as submit_many
from tests.integration.models.test_transitions import OWNER, claim, queue, running, state, submit
from tests.support.queued import queue_rows

pytestmark = pytest.mark.usefixtures("database_here")

INTERRUPTED = Ending(measures=Measures(), error="drain", error_code="interrupted")
ENDED = Ending(measures=Measures(), error="no", error_code="x")


def columns(task_id: str, *names: str) -> tuple[Any, ...]:
    row = fetch_one(f"SELECT {', '.join(names)} FROM tasks WHERE id = %s", (task_id,))
    assert row is not None
    return tuple(row.values())


def change(task_id: str, assignments: str) -> None:
    database.execute_sql(f"UPDATE tasks SET {assignments} WHERE id = %s", (task_id,))


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_tasks_given_back_in_any_order_stand_where_they_stood(order: tuple[int, ...]) -> None:
    ids = submit_many(4)
    plan(planned("ollama", ids))
    (opened,) = block.open_blocks()
    sent = send(opened.id, 3)

    for place in order:
        assert Task.give_back(*sent[place])

    assert [task_id for task_id, _ in send(opened.id, 4)] == ids


def test_the_place_of_a_task_counts_from_the_next_one_that_is_sent() -> None:
    ids = submit_many(3)
    plan(planned("ollama", ids))
    send(block.open_blocks()[0].id, 1)

    places = block.places_of(ids)

    assert {task_id: place.before for task_id, place in places.items()} == {ids[1]: 0, ids[2]: 1}


def test_a_waiting_row_whose_cancel_was_requested_is_neither_sent_nor_claimed() -> None:
    """`Task.cancel` ends it at once, but another program may only set the mark."""
    claimed, sent = submit(), submit()
    epoch = queue(claimed)
    for task_id in (claimed, sent):
        change(task_id, "cancel_requested_at = now()")

    assert Task.claim(claimed, epoch, owner=OWNER, lease_seconds=60) is None
    assert queue_rows([sent]) == []


STEPS = {"first": "done"}


@pytest.mark.parametrize(
    ("end", "suspicion", "checkpoint"),
    [
        (lambda t, e: Task.complete(t, e, ENDED, result="r", score=1.0), None, None),
        (lambda t, e: Task.fail(t, e, ENDED), None, STEPS),
        (lambda t, e: Task.retry(t, e, ENDED, at=None, spend_attempt=True), None, STEPS),
        (
            lambda t, e: Task.retry(t, e, INTERRUPTED, at=None, spend_attempt=False),
            "suspect",
            STEPS,
        ),
    ],
    ids=["completed", "failed", "retried", "interrupted"],
)
def test_a_suspect_that_ended_by_itself_is_none_and_finished_steps_are_kept_for_a_next_attempt(
    end: Any, suspicion: str | None, checkpoint: dict[str, str] | None
) -> None:
    task_id, epoch = running()
    assert Task.mark_alone(task_id, epoch)
    assert Task.save_checkpoint(task_id, epoch, STEPS)

    assert end(task_id, epoch)

    assert columns(task_id, "suspicion", "checkpoint") == (suspicion, checkpoint)
    assert columns(task_id, "lease_owner", "lease_expires_at", "progress") == (None, None, None)


@pytest.mark.parametrize(
    ("end", "spent"),
    [
        (lambda t, e: Task.complete(t, e, ENDED, result="r", score=1.0), 0),
        (lambda t, e: Task.fail(t, e, ENDED), 1),
        (lambda t, e: Task.fail(t, e, ENDED, note="a note"), 1),
        (lambda t, e: Task.retry(t, e, ENDED, at=None, spend_attempt=True), 1),
        (lambda t, e: Task.retry(t, e, INTERRUPTED, at=None, spend_attempt=False), 0),
    ],
    ids=["completed", "failed", "failed with a note", "retried", "interrupted"],
)
def test_an_attempt_is_spent_by_a_failure_alone(end: Any, spent: int) -> None:
    task_id, epoch = running()

    assert end(task_id, epoch)

    assert columns(task_id, "attempt_count") == (spent,)


@pytest.mark.parametrize(
    ("stronger", "before", "after"),
    [(False, 0.3, 0.3), (True, 0.3, 0.9), (True, 0.95, 0.95), (True, None, 0.9)],
)
def test_a_task_that_needs_a_stronger_model_is_classed_as_harder(
    stronger: bool, before: float | None, after: float
) -> None:
    task_id, epoch = running()
    change(task_id, f"complexity = {'NULL' if before is None else before}")

    assert Task.retry(task_id, epoch, ENDED, at=None, spend_attempt=True, stronger=stronger)

    assert columns(task_id, "complexity") == (pytest.approx(after),)


def test_each_attempt_has_a_number_of_its_own_and_keeps_its_end() -> None:
    task_id = submit()
    for text in ("first", "second", "third"):
        epoch = queue(task_id)
        claim(task_id, epoch)
        ending = Ending(answer=text, error=text, error_code=text)
        assert Task.retry(task_id, epoch, ending, at=None, spend_attempt=True)

    lines = attempt.of_task(task_id)

    assert [line.number for line in lines] == [1, 2, 3]
    assert [line.answer for line in lines] == ["first", "second", "third"]


def with_answers(*scores: float) -> str:
    """A pending task whose attempts gave answers of these scores."""
    task_id = submit()
    for score in scores:
        epoch = queue(task_id)
        claim(task_id, epoch)
        ending = Ending(answer=f"scored {score}", verdict={"score": score}, error_code="x")
        assert Task.retry(task_id, epoch, ending, at=None, spend_attempt=False)
    return task_id


@pytest.mark.parametrize(("number", "chosen"), [(None, 2), (1, 1), (3, 3)])
def test_the_best_answer_or_the_named_one_is_accepted(number: int | None, chosen: int) -> None:
    task_id = with_answers(0.2, 0.4, 0.1)

    assert Task.accept(task_id, number) == chosen

    score = (0.2, 0.4, 0.1)[chosen - 1]
    assert columns(task_id, "status", "result") == ("completed", f"scored {score}")


def test_a_message_that_waits_while_an_answer_is_accepted_claims_nothing() -> None:
    task_id = with_answers(0.4)
    epoch = queue(task_id)

    assert Task.accept(task_id) == 1

    change(task_id, "status = 'queued'")
    assert Task.claim(task_id, epoch, owner=OWNER, lease_seconds=60) is None


def test_nothing_is_accepted_of_a_task_that_runs() -> None:
    task_id = with_answers(0.4)
    claim(task_id, queue(task_id))

    assert Task.accept(task_id) is None
    assert state(task_id) == "in_progress"


@pytest.mark.parametrize("status", list(TaskState))
@pytest.mark.parametrize("rerun_of", ["its own", "another"])
def test_only_a_run_of_the_task_itself_becomes_its_result_once_it_has_ended(
    rerun_of: str, status: TaskState
) -> None:
    task_id, other = submit(), submit()
    origin = task_id if rerun_of == "its own" else other
    run = submit(metadata={"rerun_of": origin})
    change(task_id, f"status = '{status.value}'")
    change(run, "status = 'completed', result = 'better'")
    kept = rerun_of == "its own" and status.final

    assert feedback.keep_result_of(task_id, run) == kept
    assert columns(task_id, "result") == ("better" if kept else None,)


def _failed_while_it_waits(task_id: str) -> None:
    parent = submit()
    database.execute_sql("INSERT INTO kos_dependencies VALUES (%s, %s)", (task_id, parent))
    Task.cancel([parent])
    orphans.fail_orphans_of_dependencies()


def _failed_in_a_cycle(task_id: str) -> None:
    database.execute_sql("INSERT INTO kos_dependencies VALUES (%s, %s)", (task_id, task_id))
    orphans.fail_cycles()


def _marked_as_cancelled(task_id: str) -> None:
    change(task_id, "cancel_requested_at = now()")
    orphans.finish_cancels()


def _run(task_id: str) -> int:
    epoch = queue(task_id)
    claim(task_id, epoch)
    return epoch


def _cancelled_while_it_runs(task_id: str) -> int:
    epoch = _run(task_id)
    Task.cancel([task_id])
    return epoch


ENDINGS: dict[str, Any] = {
    "complete": lambda t: Task.complete(t, _run(t), ENDED, result="r", score=1.0),
    "fail": lambda t: Task.fail(t, _run(t), ENDED),
    "note": lambda t: Task.fail(t, _run(t), ENDED, note="n"),
    "finish cancel": lambda t: Task.finish_cancel(t, _cancelled_while_it_runs(t), ENDED),
    "cancel": lambda t: Task.cancel([t]),
    "marked as cancelled": _marked_as_cancelled,
    "refuse": lambda t: Task.refuse(t, error="e"),
    "refuse many": lambda t: backlog.refuse({t: "e"}),
    "poison": lambda t: (_run(t), orphans.return_of_dead([OWNER], max_crashes=1)),
    "cancelled and dead": lambda t: (
        _cancelled_while_it_runs(t),
        orphans.return_of_dead([OWNER], max_crashes=3),
    ),
    "dependency": _failed_while_it_waits,
    "cycle": _failed_in_a_cycle,
}


@pytest.mark.parametrize("how", list(ENDINGS))
def test_every_statement_that_ends_a_task_says_when_and_a_retry_forgets_it(how: str) -> None:
    task_id = submit()

    ENDINGS[how](task_id)

    assert TaskState(state(task_id)).final
    assert columns(task_id, "completed_at IS NOT NULL") == (True,)
    if state(task_id) != "completed":
        Task.redrive([task_id])
        assert columns(task_id, "completed_at") == (None,)


def test_an_attempt_that_has_not_ended_has_no_answer_to_accept() -> None:
    task_id = with_answers(0.9)
    database.execute_sql("UPDATE kos_attempts SET finished_at = NULL")

    assert Task.accept(task_id) is None
    assert state(task_id) == "pending"


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_task_that_is_retried_by_hand_keeps_nothing_of_its_former_life(status: str) -> None:
    task_id = submit()
    fresh = ("attempt_count", "crash_count", "suspicion", "next_attempt_at", "cancel_requested_at",
             "completed_at", "last_error", "avoid")  # fmt: skip
    before = columns(task_id, *fresh)
    change(
        task_id,
        f"status = '{status}', attempt_count = 3, crash_count = 3, suspicion = 'alone', "
        "next_attempt_at = now() + interval '1 hour', cancel_requested_at = now(), "
        "completed_at = now(), last_error = 'poison', avoid = '[[\"mlx\", \"m\"]]'",
    )

    Task.redrive([task_id])

    assert columns(task_id, "status", *fresh) == ("pending", *before)


@pytest.mark.parametrize(
    ("status", "after", "ends"),
    [("pending", "cancelled", True), ("queued", "cancelled", True),
     ("in_progress", "in_progress", False), ("completed", "completed", False)],
)  # fmt: skip
def test_only_a_task_that_does_not_run_ends_with_its_cancel(
    status: str, after: str, ends: bool
) -> None:
    task_id = submit()
    change(task_id, f"status = '{status}', completed_at = NULL")

    Task.cancel([task_id])

    assert columns(task_id, "status") == (after,)
    assert (columns(task_id, "completed_at") != (None,)) == ends


def test_an_assignment_leaves_what_the_creator_chose() -> None:
    expert, other = (str(row["id"]) for row in fetch_all(NEW_EXPERTS))
    task_id = submit(category="vision", assignee_expert_id=expert)
    given = Assigned(task_id, other, category="fast", complexity=0.1)

    assert Task.assign([given]) == {task_id}
    assert columns(task_id, "assignee_expert_id::text AS expert", "category", "complexity") == (
        expert, "vision", pytest.approx(0.1),
    )  # fmt: skip
    assert Task.assign([given]) == set(), "it has all that it needs"


NEW_EXPERTS = "INSERT INTO experts (name) VALUES ('One'), ('Other') RETURNING id"


@pytest.mark.parametrize("status", TaskState)
def test_only_rows_that_wait_are_postponed(status: TaskState) -> None:
    task_id = submit()
    change(task_id, f"status = '{status.value}'")

    changed = Task.postpone([task_id], at=datetime.now(UTC), reason="later")

    assert changed == (status is TaskState.PENDING)
    assert (columns(task_id, "last_error") == ("later",)) == bool(changed)


def test_the_next_moments_are_those_of_rows_that_can_still_move() -> None:
    soon = "now() + interval '1 minute'"
    for status in TaskState:
        task_id = submit()
        change(
            task_id,
            f"status = '{status.value}', next_attempt_at = {soon}, lease_expires_at = {soon}, "
            "lease_owner = 'o', queued_at = now()",
        )
    assert all(backlog.next_due_times())

    for place, moving in enumerate(("pending", "in_progress", "queued")):
        database.execute_sql("UPDATE tasks SET status = 'failed' WHERE status = %s", (moving,))
        assert backlog.next_due_times()[place] is None


def test_of_several_moments_the_next_one_is_the_earliest() -> None:
    base = datetime.now(UTC).replace(microsecond=0)
    for minutes in (2, 1, 3):
        for status in ("pending", "in_progress", "queued"):
            task_id = submit()
            at = f"'{(base + timedelta(minutes=minutes)).isoformat()}'"
            change(
                task_id,
                f"status = '{status}', next_attempt_at = {at}, lease_expires_at = {at}, "
                f"lease_owner = 'o', queued_at = {at}",
            )

    assert backlog.next_due_times() == (base + timedelta(minutes=1),) * 3


def test_an_attempt_whose_task_is_gone_is_closed() -> None:
    task_id, _ = running()
    database.execute_sql("ALTER TABLE tasks DISABLE TRIGGER USER")
    database.execute_sql("DELETE FROM tasks WHERE id = %s", (task_id,))

    assert orphans.close_taken_over() == 1


class TestReclaimed:
    """Rows of processes that are gone."""

    def test_a_requested_cancel_takes_precedence_over_poison(self) -> None:
        task_id, _ = running()
        Task.cancel([task_id])

        (returned,) = orphans.return_of_dead([OWNER], max_crashes=1)

        assert returned.state is TaskState.CANCELLED
        assert columns(task_id, "status") == ("cancelled",)

    def test_nothing_of_the_lost_claim_is_left_in_the_row(self) -> None:
        task_id, _ = running()

        orphans.return_of_dead([OWNER], max_crashes=3)

        left = ("queued_at", "lease_owner", "lease_expires_at", "progress")
        assert columns(task_id, *left) == (None,) * 4

    @pytest.mark.parametrize("status", ["in_progress", "pending"])
    def test_a_row_of_another_program_that_never_said_when_it_moved_is_returned(
        self, status: str
    ) -> None:
        task_id = submit()
        database.execute_sql("ALTER TABLE tasks DISABLE TRIGGER USER")
        change(task_id, f"status = '{status}', updated_at = NULL, lease_owner = NULL")

        returned = orphans.return_foreign(stuck_minutes=15)

        assert [one.id for one in returned] == ([task_id] if status == "in_progress" else [])

    @pytest.mark.parametrize("number", [1, 2])
    def test_a_row_that_ran_alone_in_its_process_is_the_cause_of_its_death(
        self, number: int
    ) -> None:
        ids = [running()[0] for _ in range(number)]

        orphans.return_of_dead([OWNER], max_crashes=3)

        crashes = [columns(task_id, "crash_count", "suspicion") for task_id in ids]
        assert crashes == [(int(number == 1), "suspect")] * number


def waiting(count: int, category: str, priority: str, *, since_hours: float, **more: str) -> None:
    """Assigned rows that wait; ``more`` are further columns as SQL."""
    names, values = ", ".join(["", *more]), ", ".join(["", *more.values()])
    database.execute_sql(
        "INSERT INTO tasks (title, status, category, priority, complexity, assignee_expert_id, "
        f"created_at{names}) SELECT 't', 'pending', %s, %s, 0.5, gen_random_uuid(), "
        f"now() - %s * interval '1 hour' + n * interval '1 millisecond'{values} "
        "FROM generate_series(1, %s) n",
        (category, priority, since_hours, count),
    )


class TestWindow:
    def test_a_hidden_kind_that_is_urgent_in_part_is_seen_once(self) -> None:
        waiting(300, "coding", "low", since_hours=10)
        waiting(30, "fast", "urgent", since_hours=0)
        waiting(100, "fast", "low", since_hours=0)

        rows, _ = backlog.window_of_all_kinds(100, least=64)

        assert len({row.id for row in rows}) == len(rows)
        assert sum(row.category == "fast" for row in rows) == 64

    def test_rows_whose_time_has_not_come_are_not_counted_as_waiting(self) -> None:
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        waiting(300, "coding", "medium", since_hours=1)
        waiting(40, "fast", "medium", since_hours=1, next_attempt_at=f"'{later}'::timestamptz")
        waiting(7, "fast", "medium", since_hours=0)

        _, totals = backlog.window_of_all_kinds(100, least=64)

        assert totals == {"coding": 300, "fast": 7}

    def test_a_row_whose_cancel_was_requested_is_not_planned(self) -> None:
        waiting(1, "fast", "medium", since_hours=1, cancel_requested_at="now()")

        assert backlog.window(10) == []
        assert not backlog.anything_eligible()
