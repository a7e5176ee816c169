"""Two hosts with homes of their own work one backlog; one of them loses its power."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from models import database
from tests.support.programs import Program
from tests.support.system import System, running_system

logger = logging.getLogger(__name__)

TASKS = 40
QUEUES = "control,maintenance,llm-ollama"


@pytest.fixture
def backlog(migrated_url: str, redis_url: str, tmp_path: Path) -> Iterator[System]:
    """Leases are short: a host that is gone is known by them alone."""
    with running_system(
        migrated_url, redis_url, tmp_path, time_scale=2.0,
        MLX_API_URL="disabled", KOS_LEASE_SECONDS="4",
    ) as running:  # fmt: skip
        yield running
    database.close_all()


@contextmanager
def host(system: System, name: str) -> Iterator[list[Program]]:
    """The worker and the listener of a host. Its programs may be killed meanwhile."""
    home = system.directory / name
    home.mkdir()
    environ = {**os.environ, **system.environ, "KOS_HOME": str(home)}
    started = [
        Program(
            "tests.support.another_host", name, *program,
            environ=environ, log=home / f"{program[0]}.log",
        )
        for program in (["jobs.worker", "--queues", QUEUES, "--threads", "8"], ["jobs.listener"])
    ]  # fmt: skip
    try:
        yield started
    finally:
        for program in started:
            program.terminate()
        for program in started:
            program.stop(20.0)


def running_at(system: System) -> dict[str, list[str]]:
    """The tasks that run now, by host."""
    found: dict[str, list[str]] = {}
    for row in system.sql("SELECT id::text, lease_owner FROM tasks WHERE status = 'in_progress'"):
        found.setdefault(row["lease_owner"].split(":")[0], []).append(row["id"])
    return found


def test_the_other_host_takes_over_and_each_task_has_one_answer(backlog: System) -> None:
    with host(backlog, "host-a") as first, host(backlog, "host-b"):
        backlog.sql(
            "INSERT INTO tasks (title, description) SELECT 'Task ' || n, "
            "'Summarise what is known about ' || n FROM generate_series(1, %s) AS n",
            (TASKS,),
        )
        backlog.wait(
            lambda: set(running_at(backlog)) == {"host-a", "host-b"},
            deadline_seconds=120,
            what="both hosts at work",
        )
        held = running_at(backlog)["host-a"]
        for program in first:
            program.kill()
        killed_at = backlog.sql("SELECT clock_timestamp() AS at")[0]["at"]

        backlog.wait(
            lambda: backlog.counts() == {"completed": TASKS},
            deadline_seconds=120,
            what="every task done",
        )

    lines = attempts(backlog)
    assert {line["host"] for line in lines if line["started_at"] > killed_at} == {"host-b"}
    assert {line["host"] for line in lines if line["outcome"] == "lost"} <= {"host-a"}
    assert sorted(line["task_id"] for line in lines if line["outcome"] == "completed") == sorted(
        row["id"] for row in backlog.sql("SELECT id::text FROM tasks")
    )
    assert {line["attempt_count"] for line in lines} == {0}
    taken = [
        (line["started_at"] - killed_at).total_seconds()
        for line in lines
        if line["task_id"] in held and line["host"] == "host-b"
    ]
    logger.info("host-b took over %d tasks of host-a, in seconds: %s", len(taken), sorted(taken))


def attempts(system: System) -> list[dict[str, Any]]:
    return system.sql(
        "SELECT a.task_id::text, a.outcome, a.started_at, split_part(a.worker, ':', 1) AS host, "
        "t.attempt_count FROM kos_attempts a JOIN tasks t ON t.id = a.task_id"
    )
