"""The same work behind a short and a long backlog: ``python -m benchmarks.pipeline --backlog``.

1. Tasks a second while so many rows wait, with an instant server.
2. An urgent INSERT behind so many rows, to its first byte at a server that is busy with them.

Both lengths are measured in one run, in a database each.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from models import database
from tests.support.embedded import Server, fresh_database
from tests.support.system import System, running_system

INSERT = (
    "INSERT INTO tasks (title, description, created_at) SELECT 'Task ' || n, "
    "'Summarise what is known about topic ' || n, now() - interval '1 hour' "
    "FROM generate_series(1, %s) AS n"
)
COMPLETED = "SELECT count(*) AS n FROM kos_attempts WHERE outcome = 'completed'"
SETTINGS = {
    "SMART_WORKER_MAX_CONCURRENT": "16",
    "ADAPTIVE_OLLAMA_MAX": "16",
    "MLX_API_URL": "disabled",
}
BUSY_TIME_SCALE = 10.0
"""Tasks of about a second."""
WARM_TASKS = 200
URGENT_PAUSE_SECONDS = 0.5


def behind(
    postgres: Server, redis: Server, rows: int, *, tasks: int, probes: int
) -> dict[str, Any]:
    """``per_second`` and ``urgent_ms`` (the median) behind ``rows`` waiting rows."""
    with (
        tempfile.TemporaryDirectory() as directory,
        running_system(
            fresh_database(postgres.url), redis.url, Path(directory), profile="instant",
            time_scale=1.0, **SETTINGS,
        ) as system,
    ):  # fmt: skip
        seconds_to_insert = _fill(system, rows)
        system.start("control", "llm-ollama", "listener")
        rate = _rate(system, tasks)
    database.close_all()
    redis.client().flushall()
    with (
        tempfile.TemporaryDirectory() as directory,
        running_system(
            fresh_database(postgres.url), redis.url, Path(directory), time_scale=BUSY_TIME_SCALE,
            **SETTINGS,
        ) as system,
    ):  # fmt: skip
        _fill(system, rows)
        system.start("control", "llm-ollama", "listener")
        urgent = _urgent(system, probes)
    database.close_all()
    redis.client().flushall()
    return {
        "rows": rows,
        "insert_seconds": round(seconds_to_insert, 1),
        "per_second": round(rate, 1),
        "urgent_ms": round(statistics.median(urgent)),
        "urgent_ms_max": round(max(urgent)),
    }


def _fill(system: System, rows: int) -> float:
    began = time.monotonic()
    system.sql(INSERT, (rows,))
    system.sql("VACUUM (ANALYZE) tasks")
    return time.monotonic() - began


def _rate(system: System, tasks: int) -> float:
    _wait_completed(system, WARM_TASKS)
    began, first = time.monotonic(), _completed(system)
    _wait_completed(system, first + tasks)
    return (_completed(system) - first) / (time.monotonic() - began)


def _urgent(system: System, probes: int) -> list[float]:
    _wait_completed(system, 20)
    waits = []
    for number in range(probes):
        time.sleep(URGENT_PAUSE_SECONDS)
        text = f"Say which of the topics is urgent, number {number}"
        task_id = system.insert("urgent", text, priority="urgent")
        committed = time.time()
        waits.append((_started_at(system, task_id) - committed) * 1000)
    return waits


def _started_at(system: System, task_id: str) -> float:
    system.wait(lambda: bool(system.attempts(task_id)), deadline_seconds=300)
    return float(system.attempts(task_id)[0]["started_at"].timestamp())


def _completed(system: System) -> int:
    return int(system.sql(COMPLETED)[0]["n"])


def _wait_completed(system: System, count: int) -> None:
    system.wait(lambda: _completed(system) >= count, deadline_seconds=600)
