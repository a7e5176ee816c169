"""Postgres and Redis come and go while tasks run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from models import database
from tests.support.embedded import Server
from tests.support.simulators import RunningSimulator
from tests.support.system import System, running_system

LONG_TASK = "Write a long study of the history of databases, with every detail that you know."


@pytest.fixture
def slow(own_postgres: Server, own_redis: Server, tmp_path: Path) -> Iterator[System]:
    """A system whose answers take some seconds, on servers that a test may kill."""
    with running_system(
        own_postgres.url, own_redis.url, tmp_path, time_scale=4.0, KOS_LEASE_SECONDS="20"
    ) as running:
        yield running
        running.stop()
    database.close_all()


def test_an_answer_that_comes_while_redis_is_away_is_kept(slow: System, own_redis: Server) -> None:
    slow.start()
    task_id = slow.insert("Study", LONG_TASK)
    _server_of(slow, task_id)

    own_redis.kill()
    done = slow.wait_status(task_id, "completed", deadline_seconds=40)
    own_redis.start()

    assert [attempt["outcome"] for attempt in slow.attempts(task_id)] == ["completed"]
    assert done["attempt_count"] == 0
    later = slow.insert("Another", "Name three rivers.")
    slow.wait_status(later, "completed", deadline_seconds=40)


def test_an_answer_that_comes_while_postgres_is_away_is_kept(
    slow: System, own_postgres: Server
) -> None:
    slow.start()
    task_id = slow.insert("Study", LONG_TASK)
    server = _server_of(slow, task_id)

    own_postgres.kill()
    server.wait_until(lambda stats: stats["streams"]["now"] == 0, deadline_seconds=40)
    own_postgres.start()

    slow.wait_status(task_id, "completed", deadline_seconds=40)
    assert [attempt["outcome"] for attempt in slow.attempts(task_id)] == ["completed"]


def test_a_row_inserted_right_after_an_outage_is_completed(
    slow: System, own_postgres: Server, own_redis: Server
) -> None:
    slow.start()
    slow.wait_status(slow.insert("First", "Name three rivers."), "completed")

    own_redis.kill()
    own_postgres.kill()
    own_postgres.start()
    task_id = slow.insert("Second", "Name three lakes.")
    own_redis.start()

    slow.wait_status(task_id, "completed", deadline_seconds=40)


def test_an_outcome_that_a_full_disk_kept_back_is_written_whole(system: System) -> None:
    for server in (system.ollama, system.mlx):
        server.fault("echo", rate=1.0)
    system.sql("CREATE SEQUENCE refused")
    system.sql(
        "CREATE FUNCTION refuse_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF nextval('refused') = 1 THEN "
        "RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END IF; "
        "RETURN NEW; END $$"
    )
    system.sql(
        "CREATE TRIGGER refuse_once BEFORE INSERT ON kos_decisions FOR EACH ROW "
        "WHEN (NEW.stage = 'retry') EXECUTE FUNCTION refuse_once()"
    )
    system.start()

    task_id = system.insert("Study", "Name three rivers.")

    system.wait(lambda: bool(system.attempts(task_id)), what="an attempt")
    system.wait(lambda: system.attempts(task_id)[0]["outcome"] == "retried", what="its outcome")
    told = system.sql(
        "SELECT 1 FROM kos_decisions WHERE task_id = %s AND stage = 'retry'", (task_id,)
    )
    assert told
    assert "outcome_not_written_yet" in system.log(f"llm-{system.attempts(task_id)[0]['backend']}")


def _server_of(system: System, task_id: str) -> RunningSimulator:
    """The server that streams its answer: an outage before the call returns the row instead."""
    row = system.wait_status(task_id, "in_progress")
    server = system.ollama if row["backend"] == "ollama" else system.mlx
    server.wait_until(lambda stats: stats["streams"]["now"] == 1, deadline_seconds=40)
    return server
