"""The table of transitions and the guarded methods say the same."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime

import psycopg2
import pytest

from models import base, orphans
from models.base import fetch_one
from models.database import database
from models.states import TRANSITIONS, TaskState
from models.task import Ending, Measures, NewTask, Task
from tests.support.queued import queue_rows

EPOCH = 7
OWNER = "host/1/1.0"
ENDING = Ending(measures=Measures())
LEASED = "lease_owner = 'host/9/9.0', lease_expires_at = now() - interval '1 second'"
CANCEL_ASKED = "cancel_requested_at = now()"

pytestmark = pytest.mark.usefixtures("database_here")

Move = Callable[[str], object]

MOVES: dict[str, tuple[str, Move]] = {
    "queue": ("", lambda t: queue_rows([t], backend="ollama", model="m")),
    "give_back": ("", lambda t: Task.give_back(t, EPOCH)),
    "claim": ("", lambda t: Task.claim(t, EPOCH, owner=OWNER, lease_seconds=60)),
    "complete": ("", lambda t: Task.complete(t, EPOCH, ENDING, result="r", score=1.0)),
    "retry": ("", lambda t: Task.retry(t, EPOCH, ENDING, at=None, spend_attempt=True)),
    "fail": ("", lambda t: Task.fail(t, EPOCH, ENDING)),
    "finish_cancel": (CANCEL_ASKED, lambda t: Task.finish_cancel(t, EPOCH, ENDING)),
    "cancel": ("", lambda t: Task.cancel([t])),
    "refuse": ("", lambda t: Task.refuse(t, error="never")),
    "postpone": ("", lambda t: Task.postpone([t], at=datetime.now(UTC), reason="later")),
    "redrive": ("", lambda t: Task.redrive([t])),
    "return_expired": (LEASED, lambda t: orphans.return_expired()),
    "return_of_dead_poison": (
        f"{LEASED}, suspicion = 'alone'",
        lambda t: orphans.return_of_dead(["host/9/9.0"], max_crashes=1),
    ),
    "return_expired_cancel": (
        f"{LEASED}, {CANCEL_ASKED}",
        lambda t: orphans.return_expired(),
    ),
    "return_of_dead": (LEASED, lambda t: orphans.return_of_dead(["host/9/9.0"], max_crashes=3)),
    "return_foreign": ("", lambda t: orphans.return_foreign(stuck_minutes=0)),
    "return_without_message": ("", lambda t: orphans.return_without_message([], grace_seconds=0)),
    "return_queued_at": ("", lambda t: orphans.return_queued_at("ollama", reason="it is away")),
    "finish_cancels": (CANCEL_ASKED, lambda t: orphans.finish_cancels()),
}


def row_in(state: TaskState, columns: str) -> str:
    task_id = Task.submit([NewTask(title="t", description="d")])[0]
    assert task_id is not None
    database.execute_sql(
        f"UPDATE tasks SET status = %s, epoch = {EPOCH}, backend = 'ollama', model = 'm', "
        f"queued_at = now() - interval '1 minute'{columns and ', ' + columns} WHERE id = %s",
        (state.value, task_id),
    )
    return task_id


def after(move: str, state: TaskState) -> TaskState:
    columns, act = MOVES[move]
    task_id = row_in(state, columns)
    act(task_id)
    row = fetch_one("SELECT status FROM tasks WHERE id = %s", (task_id,))
    assert row is not None
    return TaskState(row["status"])


@pytest.mark.parametrize("state", TaskState)
def test_the_methods_make_every_transition_of_the_table_and_no_other(state: TaskState) -> None:
    reached = {move: after(move, state) for move in MOVES}

    assert set(reached.values()) - {state} == TRANSITIONS[state], reached


WRITTEN_LATER = {"complete", "retry", "fail", "finish_cancel"}
"""They raise where the row is locked: the recorder keeps the outcome and tries again."""


def test_no_transition_waits_for_a_row_that_somebody_keeps_locked(
    database_here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "LOCKED_ROW_SECONDS", 0.02)
    database.execute_sql("SET lock_timeout TO '0.5s'")  # what waits longer than that raises
    moves = [move for move in MOVES if move not in WRITTEN_LATER]
    rows = [(move, state, row_in(state, MOVES[move][0])) for move in moves for state in TaskState]
    with closing(psycopg2.connect(database_here)) as other, other.cursor() as cursor:
        cursor.execute("SELECT id FROM tasks FOR UPDATE")
        for move, _, task_id in rows:
            MOVES[move][1](task_id)

    for move, state, task_id in rows:
        assert fetch_one("SELECT status FROM tasks WHERE id = %s", (task_id,)) == {
            "status": state.value
        }, move
