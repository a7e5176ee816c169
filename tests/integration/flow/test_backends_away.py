"""Servers that are down, come back, or generate nothing."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from console.home import free_port
from jobs.queues.names import PAUSED
from models import database
from tests.support.simulators import RunningSimulator, simulator
from tests.support.system import System, running_system

FEW = 12


@pytest.fixture
def watched(migrated_url: str, redis_url: str, tmp_path: Path) -> Iterator[System]:
    """A system with a health checker that looks twice a second."""
    with running_system(
        migrated_url, redis_url, tmp_path, time_scale=100.0,
        KOS_HEALTH_INTERVAL_SECONDS="0.5", KOS_HEALTH_PORT=str(free_port()),
    ) as running:  # fmt: skip
        yield running
    database.close_all()


def insert_some(system: System, count: int = FEW) -> None:
    system.sql(
        "INSERT INTO tasks (title, description) SELECT 'Task ' || n, "
        "'Summarise what is known about topic ' || n || ' in some sentences.' "
        "FROM generate_series(1, %s) AS n",
        (count,),
    )


def insert_waiting(system: System, count: int, **metadata: str) -> None:
    """Rows of an hour ago that have their expert already."""
    system.sql(
        "INSERT INTO tasks (title, description, metadata, created_at, category, complexity, "
        "assignee_expert_id) SELECT 'Task ' || n, 'Summarise what is known about ' || n, "
        "%s::jsonb, now() - interval '1 hour', 'default', 0.3, (SELECT id FROM experts LIMIT 1) "
        "FROM generate_series(1, %s) AS n",
        (json.dumps(metadata), count),
    )


def test_tasks_go_to_the_server_that_is_left(watched: System) -> None:
    watched.environ["OLLAMA_API_URL"] = "http://127.0.0.1:9"
    watched.start()

    insert_some(watched)

    watched.wait(lambda: watched.counts() == {"completed": FEW}, deadline_seconds=60)
    assert {row["backend"] for row in watched.sql("SELECT backend FROM kos_attempts")} == {"mlx"}


def test_rows_that_require_a_closed_server_stand_in_nobodys_way_and_run_once_it_opens(
    watched: System, redis_url: str
) -> None:
    watched.environ["KOS_PLAN_WINDOW"] = "20"
    with closing(redis.Redis.from_url(redis_url)) as client:
        client.sadd(PAUSED, "mlx")
        insert_waiting(watched, 600, required_backend="mlx")
        watched.start()
        free = watched.insert("Free", "Summarise what is known about some topic in sentences.")

        watched.wait_status(free, "completed", deadline_seconds=20)

        touched = watched.sql(
            "SELECT count(*) AS n FROM tasks WHERE next_attempt_at IS NOT NULL OR epoch > 0"
        )
        assert touched[0]["n"] == 1
        client.srem(PAUSED, "mlx")
        watched.wait(
            lambda: watched.counts()["completed"] > 1, deadline_seconds=15, what="mlx at work"
        )


def test_when_everything_is_down_tasks_wait_and_spend_nothing(watched: System) -> None:
    for server in (watched.ollama, watched.mlx):
        server.fault("503", rate=1.0)
    watched.start("control", "llm-ollama", "llm-mlx", "listener", "health_checker")
    insert_some(watched)

    watched.wait(
        lambda: bool(watched.sql("SELECT 1 FROM kos_attempts WHERE error_code = 'overloaded'")),
        what="a refused attempt",
    )
    assert watched.counts().get("failed", 0) == 0
    for server in (watched.ollama, watched.mlx):
        server.clear_faults()

    watched.wait(lambda: watched.counts() == {"completed": FEW}, deadline_seconds=90)
    spent = watched.sql("SELECT sum(attempt_count) AS n FROM tasks")
    assert spent[0]["n"] == 0


def kill(server: RunningSimulator) -> None:
    os.kill(server.pid, signal.SIGKILL)


def warm(system: System) -> None:
    """One task completed: everything was scanned and found as it is now."""
    first = system.insert("First", "Name three rivers.")
    system.wait_status(first, "completed", deadline_seconds=60)


def first_attempt(system: System, task_id: str) -> tuple[str, str]:
    """Error code and outcome of the first attempt, once it ended."""
    system.wait(
        lambda: any(line["finished_at"] for line in system.attempts(task_id)), what="an attempt"
    )
    attempt = system.attempts(task_id)[0]
    return attempt["error_code"], attempt["outcome"]


def test_while_the_only_server_restarts_a_task_waits_and_spends_nothing(system: System) -> None:
    system.environ["MLX_API_URL"] = "http://127.0.0.1:9"
    system.start("control", "llm-ollama", "llm-mlx", "listener")
    warm(system)

    kill(system.ollama)
    task_id = system.insert("Second", "Name three lakes.")

    assert first_attempt(system, task_id) == ("unreachable", "interrupted")
    port = urlsplit(system.ollama.url).port
    assert port is not None
    with simulator("ollama", port=port, time_scale=200.0):
        done = system.wait_status(task_id, "completed", deadline_seconds=60)
    assert done["attempt_count"] == 0


def test_when_every_server_goes_away_at_once_nothing_is_spent(system: System) -> None:
    system.start()
    warm(system)

    for server in (system.ollama, system.mlx):
        kill(server)
    task_id = system.insert("Second", "Name three lakes.")

    assert first_attempt(system, task_id) == ("unreachable", "interrupted")
    assert system.task(task_id)["attempt_count"] == 0


def test_a_task_that_asks_for_a_server_waits_for_it_while_another_is_up(system: System) -> None:
    system.start()
    warm(system)

    kill(system.ollama)
    task_id = system.insert("Second", "Name three lakes.", metadata={"required_backend": "ollama"})

    assert first_attempt(system, task_id) == ("unreachable", "interrupted")
    assert system.task(task_id)["attempt_count"] == 0


def test_a_server_that_generates_nothing_is_left_alone_until_a_token_comes(
    watched: System,
) -> None:
    watched.environ |= {"SMART_WORKER_LLM_TIMEOUT": "5", "MODEL_LOAD_BUFFER_SEC": "1"}
    watched.mlx.fault("dead", rate=1.0)
    watched.start("control", "llm-ollama", "llm-mlx", "listener", "health_checker")

    insert_some(watched)

    watched.wait(lambda: watched.counts() == {"completed": FEW}, deadline_seconds=120)
    finished = watched.sql("SELECT DISTINCT backend FROM kos_attempts WHERE outcome = 'completed'")
    assert [row["backend"] for row in finished] == ["ollama"]


def test_echoes_go_elsewhere_and_are_logged(watched: System) -> None:
    watched.mlx.fault("echo", rate=1.0)
    watched.start()

    insert_some(watched, 4)

    watched.wait(lambda: watched.counts() == {"completed": 4}, deadline_seconds=60)
    outcomes = watched.sql("SELECT backend, outcome, error_code FROM kos_attempts")
    echoed = [row for row in outcomes if row["error_code"] == "echo"]
    assert all(row["backend"] == "mlx" for row in echoed)
    if echoed:
        assert "Эхо-ответ от mlx" in watched.log("llm-mlx")
