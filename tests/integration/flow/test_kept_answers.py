"""No answer is lost: what was rejected is kept, shown, and may be accepted."""

from __future__ import annotations

from typing import Any

import pytest

from console.operations import tasks
from console.operations.errors import InvalidInput
from models.database import session
from tests.support.system import System

PARTS = {"required_parts": ["Quokka"], "temperature": 0.4, "seed": 5}


def test_a_rejected_answer_is_kept_and_becomes_the_result_when_accepted(system: System) -> None:
    system.environ["KOS_MAX_ATTEMPTS"] = "1"
    system.start()
    task_id = system.insert("Story", "Tell of the sea in a few sentences.", metadata=PARTS)
    system.wait_status(task_id, "failed")

    with session():
        (kept,) = tasks.details(task_id).attempts
        best = tasks.best_answer(tasks.details(task_id))
        accepted = tasks.accept(task_id)

    assert kept.answer is not None
    assert kept.answer.startswith("[simulated")
    assert kept.verdict["code"] == "missing_parts"
    assert [message["role"] for message in kept.messages] == ["system", "user"]
    assert kept.options["temperature"] == 0.4
    assert kept.options["seed"] == 5
    assert best is not None
    assert accepted.accepted == best.number
    done = system.task(task_id)
    assert (done["status"], done["result"]) == ("completed", kept.answer)
    assert done["last_error"] is None


def test_what_has_no_answer_cannot_be_accepted(system: System) -> None:
    task_id = system.insert("Story", "Tell of the sea.")

    with session(), pytest.raises(InvalidInput, match="with an answer is not there"):
        tasks.accept(task_id)


REFUSE_TWICE = """
CREATE FUNCTION refuse_twice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF nextval('tries_' || NEW.title) <= 2 THEN
    RAISE EXCEPTION 'not now' USING ERRCODE = NEW.title;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER refuse_twice BEFORE UPDATE ON tasks FOR EACH ROW
  WHEN (NEW.status = 'completed') EXECUTE FUNCTION refuse_twice();
"""
SERIALIZATION, DEADLOCK, LOCK_TIMEOUT = "40001", "40P01", "55P03"


def test_an_answer_is_written_after_a_conflict(system: System) -> None:
    codes = (SERIALIZATION, DEADLOCK, LOCK_TIMEOUT)
    system.sql("".join(f'CREATE SEQUENCE "tries_{code}";' for code in codes))
    system.sql(REFUSE_TWICE.replace("'tries_' || NEW.title", "'\"tries_' || NEW.title || '\"'"))
    system.start()
    ids = [system.insert(code, "Tell of the sea in a few sentences.") for code in codes]

    for task_id in ids:
        system.wait_status(task_id, "completed", deadline_seconds=60)
        assert [row["outcome"] for row in system.attempts(task_id)] == ["completed"]


def test_an_answer_waits_for_a_postgres_that_takes_no_writes_beyond_its_lease(
    system: System,
) -> None:
    """As after a failover to a replica."""
    system.environ["KOS_LEASE_SECONDS"] = "2"
    system.start("control", "llm-ollama", "listener")
    system.ollama.fault("drip", seconds=0.02)
    task_id = system.insert("Sea", "Tell of the sea in a few sentences.")
    system.ollama.wait_until(lambda stats: stats["streams"]["now"] == 1, deadline_seconds=60)
    read_only(system, "= on")
    try:
        system.ollama.wait_until(lambda stats: answers(stats) == 1, deadline_seconds=60)
        over = "SELECT lease_expires_at < now() - interval '1 second' AS over FROM tasks"
        system.wait(lambda: system.sql(over)[0]["over"], what="the lease is over")
    finally:
        read_only(system, "= DEFAULT")

    done = system.wait_status(task_id, "completed", deadline_seconds=60)

    assert done["crash_count"] == 0
    assert [row["outcome"] for row in system.attempts(task_id)] == ["completed"]
    assert answers(system.ollama.stats()) == 1


def answers(stats: dict[str, Any]) -> int:
    """How many the server has sent to the end; a load is none."""
    return sum(
        one["outcome"] == "completed" and one["completion_tokens"] > 0 for one in stats["journal"]
    )


def read_only(system: System, value: str) -> None:
    system.sql(f"ALTER SYSTEM SET default_transaction_read_only {value}")
    system.sql("SELECT pg_reload_conf()")
