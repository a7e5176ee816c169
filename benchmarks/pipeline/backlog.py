"""The same work behind a short and a long backlog: ``python -m benchmarks.pipeline --backlog``.

1. Tasks a second while so many rows wait, with an instant server.
2. An urgent INSERT behind so many rows, to its first byte at a server that is busy with them.

Both lengths are measured in one run, in a database each.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.systems import scratch_system
from tests.support.embedded import Server
from tests.support.system import System

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
    with _full(postgres, redis, rows, profile="instant", time_scale=1.0) as (system, filled):
        rate = _rate(system, tasks)
    with _full(postgres, redis, rows, time_scale=BUSY_TIME_SCALE) as (system, _):
        urgent = _urgent(system, probes)
    return {
        "rows": rows,
        "insert_seconds": round(filled, 1),
        "per_second": round(rate, 1),
        "urgent_ms": round(statistics.median(urgent)),
        "urgent_ms_max": round(max(urgent)),
    }


@contextmanager
def _full(
    postgres: Server, redis: Server, rows: int, **options: Any
) -> Iterator[tuple[System, float]]:
    """A system that began with ``rows`` waiting; and the seconds that their INSERT took."""
    with scratch_system(postgres.url, redis.url, **options, **SETTINGS) as system:
        filled = _fill(system, rows)
        system.start("control", "llm-ollama", "listener")
        yield system, filled
    redis.client().flushall()


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
