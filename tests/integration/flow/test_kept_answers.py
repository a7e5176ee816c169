"""No answer is lost: what was rejected is kept, shown, and may be accepted."""

from __future__ import annotations

import pytest

from console.operations import tasks
from console.operations.errors import BadInput
from models.database import session
from tests.support.system import System

PARTS = {"required_parts": ["Quokka"], "temperature": 0.4, "seed": 5}


def test_a_rejected_answer_is_kept_and_becomes_the_result_when_accepted(system: System) -> None:
    system.environ["KOS_MAX_ATTEMPTS"] = "1"
    system.start()
    task_id = system.insert("Story", "Tell of the sea in a few sentences.", metadata=PARTS)
    system.wait_status(task_id, "failed")

    with session():
        (kept,) = tasks.details(task_id)["attempts"]
        best = tasks.best_answer(tasks.details(task_id))
        accepted = tasks.accept(task_id)

    assert kept["answer"].startswith("[simulated")
    assert kept["verdict"]["code"] == "missing_parts"
    assert [message["role"] for message in kept["messages"]] == ["system", "user"]
    assert kept["options"]["temperature"] == 0.4
    assert kept["options"]["seed"] == 5
    assert best is not None
    assert accepted == {"accepted": best["number"]}
    done = system.task(task_id)
    assert (done["status"], done["result"]) == ("completed", kept["answer"])
    assert done["last_error"] is None


def test_what_has_no_answer_cannot_be_accepted(system: System) -> None:
    task_id = system.insert("Story", "Tell of the sea.")

    with session(), pytest.raises(BadInput, match="with an answer is not there"):
        tasks.accept(task_id)
