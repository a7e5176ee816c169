"""Hosts whose clocks are five minutes apart from that of Postgres work like all others."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
import redis

from jobs.queues.worker_register import registered
from tests.support.system import ROOT, System

WRONG_CLOCK = ROOT / "benchmarks" / "hosts" / "clock"
STOP_SECONDS = 30


@contextmanager
def worker_with_clock(system: System, queue: str, ahead_seconds: int) -> Iterator[int]:
    """A worker whose host is so many seconds ahead; its process id."""
    environ = {
        **os.environ,
        **system.environ,
        "PYTHONPATH": str(WRONG_CLOCK),
        "HOST_CLOCK_AHEAD_SECONDS": str(ahead_seconds),
    }
    command = [sys.executable, "-m", "jobs.worker", "--queues", queue, "--threads", "4"]
    with (system.directory / f"{queue}.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, cwd=ROOT, stdout=log, stderr=log)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


@pytest.mark.parametrize("ahead_seconds", [300, -300], ids=["ahead", "behind"])
def test_a_host_with_a_wrong_clock_gets_tasks_and_is_no_dead_one(
    system: System, ahead_seconds: int
) -> None:
    system.start("control", "listener")

    with worker_with_clock(system, "llm-ollama", ahead_seconds) as pid:
        ids = [
            system.insert(f"task {number}", "Say hello.", metadata={"preferred_source": "ollama"})
            for number in range(4)
        ]
        for task_id in ids:
            system.wait_status(task_id, "completed")
        workers = {attempt["worker"] for task_id in ids for attempt in system.attempts(task_id)}
        with closing(redis.Redis.from_url(system.environ["REDIS_URL"])) as client:
            (found,) = [worker for worker in registered(client) if worker.owner in workers]

    assert f"/{pid}/" in found.owner
    assert found.has_heartbeat(time.time())
    assert [len(system.attempts(task_id)) for task_id in ids] == [1, 1, 1, 1]
