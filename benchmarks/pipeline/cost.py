"""What one task costs with an instant server: processor time, transactions, calls of Redis.

``python -m benchmarks.pipeline --cost``. The model server and the reading of this program are left
out; Postgres's own helpers (writer, vacuum) are in.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import psutil

from tests.support.embedded import Server
from tests.support.system import System

WARM_TASKS = 200
INSERT = (
    "INSERT INTO tasks (title, description) SELECT 'Task ' || n, "
    "'Summarise what is known about topic ' || n FROM generate_series(1, %s) AS n"
)
TRANSACTIONS = "SELECT xact_commit AS n FROM pg_stat_database WHERE datname = current_database()"
SETTLE_SECONDS = 1.5
"""Postgres shows its statistics about a second late."""


def cost_of_a_task(system: System, postgres: Server, redis: Server, tasks: int) -> dict[str, Any]:
    """Milliseconds of processor time by program, and counts, for one task."""
    _run(system, WARM_TASKS)
    client = redis.client()
    client.config_resetstat()
    time.sleep(SETTLE_SECONDS)
    pids = {name: process.pid for name, process in system.programs.items()}
    pids |= {"postgres": postgres.pid, "redis": redis.pid}
    before, committed = {name: _seconds(pid) for name, pid in pids.items()}, _committed(system)
    began = time.monotonic()
    _run(system, tasks)
    elapsed = time.monotonic() - began
    spent = {name: _seconds(pid) - before[name] for name, pid in pids.items()}
    time.sleep(SETTLE_SECONDS)
    calls = client.info("commandstats")
    return {
        "per_second": round(tasks / elapsed, 1),
        "processor_ms": {name: round(1000 * value / tasks, 2) for name, value in spent.items()},
        "processor_ms_in_all": round(1000 * sum(spent.values()) / tasks, 2),
        "transactions": round((_committed(system) - committed) / tasks, 2),
        "redis_scripts": round(calls["cmdstat_evalsha"]["calls"] / tasks, 2),
        "redis_us": round(sum(one["usec"] for one in calls.values()) / tasks),
    }


def _run(system: System, tasks: int) -> None:
    goal = system.counts().get("completed", 0) + tasks
    system.sql(INSERT, (tasks,))
    while system.counts().get("completed", 0) < goal:
        time.sleep(0.2)


def _committed(system: System) -> int:
    return int(system.sql(TRANSACTIONS)[0]["n"])


def _seconds(pid: int) -> float:
    """Processor time of a process with its children, ended ones too."""
    root = psutil.Process(pid)
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total
