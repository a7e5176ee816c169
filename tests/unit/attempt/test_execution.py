"""What an attempt leaves behind when it cannot go on."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from jobs.attempt import execution
from jobs.attempt.execution import Execution
from jobs.queues.task_message import TaskMessage
from llm.types import CancelToken
from models.database import DatabaseUnavailable
from models.task import Task

TASK = TaskMessage("t", 1, "b", "m", num_ctx=0, heavy=False)


class OneLease:
    """A lease keeper of one claimed suspect."""

    def __init__(self) -> None:
        self.held: list[Any] = []

    def claim(self, task: TaskMessage) -> tuple[Any, Any]:
        running = SimpleNamespace(token=CancelToken())
        self.held.append(running)
        return SimpleNamespace(
            id=task.task_id, epoch=1, row=SimpleNamespace(suspicion="suspect")
        ), running

    def remove(self, running: Any) -> None:
        self.held.remove(running)


class Recorder:
    def __init__(self) -> None:
        self.interrupted: list[Any] = []

    def return_interrupted(self, claimed: Any, error: Exception) -> None:
        self.interrupted.append(claimed.id)


def test_a_suspect_that_cannot_be_marked_leaves_no_lease_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_session() -> None:
        raise DatabaseUnavailable("a lock was not available in time")

    monkeypatch.setattr(execution, "session", no_session)
    leases, recorder = OneLease(), Recorder()
    parts: Any = {"lease_keeper": leases, "answering": None, "recorder": recorder, "requests": None}

    with pytest.raises(DatabaseUnavailable):
        Execution(**parts).run(TASK)

    assert leases.held == []
    assert recorder.interrupted == ["t"]


class NoDatabase:
    """A lease keeper that reaches no Postgres."""

    def claim(self, task: TaskMessage) -> None:
        raise DatabaseUnavailable("no route")


def test_a_claim_that_may_be_lost_is_left_to_recovery() -> None:
    asked: list[str] = []
    requests = SimpleNamespace(add_pending=lambda: asked.append("recover"))
    parts: Any = {"lease_keeper": NoDatabase(), "answering": None, "recorder": None}

    outcome = Execution(**parts, requests=cast(Any, requests)).run(TASK)

    assert outcome is None
    assert asked == ["recover"]


@pytest.mark.parametrize("cancelled", [False, True])
def test_only_a_suspect_that_runs_alone_is_marked_so(
    monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    """Another task is inside: the suspect waits for its end, or for its own cancel."""
    inside, over = threading.Event(), threading.Event()
    marked: list[str] = []
    monkeypatch.setattr(execution, "session", nullcontext)
    monkeypatch.setattr(Task, "mark_alone", lambda task_id, epoch: marked.append(task_id))

    class Leases(OneLease):
        def claim(self, task: TaskMessage) -> tuple[Any, Any]:
            claimed, running = super().claim(task)
            if task.task_id == "other":
                claimed.row.suspicion = None
            else:
                running.token.cancel("drain") if cancelled else over.set()
            return claimed, running

    class Answers:
        def answer(self, task: TaskMessage, claimed: Any, running: Any) -> None:
            if task.task_id == "other":
                inside.set()
                assert over.wait(20)
            else:
                over.set()

    parts: Any = {
        "lease_keeper": Leases(),
        "answering": Answers(),
        "recorder": SimpleNamespace(record=lambda *result: None),
        "requests": None,
    }
    runs = Execution(**parts)
    other = threading.Thread(target=runs.run, args=(replace(TASK, task_id="other"),))
    other.start()
    assert inside.wait(20)

    runs.run(TASK)

    other.join(20)
    assert marked == ([] if cancelled else ["t"])
