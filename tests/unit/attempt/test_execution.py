"""What an attempt leaves behind when it cannot go on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jobs.attempt import execution
from jobs.attempt.execution import Execution
from jobs.queues.task_message import TaskMessage
from llm.types import CancelToken
from models.database import DatabaseUnavailable


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
    task = TaskMessage("t", 1, "b", "m", num_ctx=0, heavy=False)

    with pytest.raises(DatabaseUnavailable):
        Execution(**parts).run(task)

    assert leases.held == []
    assert recorder.interrupted == ["t"]
