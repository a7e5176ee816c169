"""``python -m benchmarks.pipeline``: ratios measured side by side, in one run, on this machine.

1. Whole task life (insert, assign, plan, admit, run, judge, record) at N instant tasks, against
   bare dramatiq with the same model call and two UPDATEs: one process of 16 threads each.
2. INSERT committed -> request at the model server, on an idle system.
3. Freed slot -> next request of the block, while a block runs.

``--cost``: the cost of one task instead. ``--backlog``: the same work behind 1 k and 1 M rows.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import dramatiq
import psycopg2
from dramatiq.brokers.redis import RedisBroker

from benchmarks.pipeline import backlog
from benchmarks.pipeline.cost import cost_of_a_task
from benchmarks.systems import scratch_system
from tests.support.embedded import Server, postgres_server, redis_server
from tests.support.system import ROOT, System

INSERT_MANY = (
    "INSERT INTO tasks (title, description) SELECT 'Task ' || n, "
    "'Summarise what is known about topic ' || n FROM generate_series(1, %s) AS n"
)
SETTINGS = {
    "SMART_WORKER_MAX_CONCURRENT": "16",
    "ADAPTIVE_OLLAMA_MAX": "16",
    "MLX_API_URL": "disabled",
}


def main() -> None:
    options = _options()
    with postgres_server() as postgres, redis_server() as redis:
        if options.backlog:
            figures = _behind_backlogs(postgres, redis, options)
        else:
            figures = _measure(postgres, redis, options)
    _print(figures, as_json=options.json)


def _behind_backlogs(
    postgres: Server, redis: Server, options: argparse.Namespace
) -> dict[str, Any]:
    lengths = (options.short, options.long)
    few, many = (
        backlog.behind(postgres, redis, rows, tasks=options.tasks, probes=options.urgent)
        for rows in lengths
    )
    return {
        f"behind_{lengths[0]}": few,
        f"behind_{lengths[1]}": many,
        "rate_ratio": round(many["per_second"] / few["per_second"], 3),
        "urgent_ratio": round(many["urgent_ms"] / few["urgent_ms"], 3),
    }


def _measure(postgres: Server, redis: Server, options: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with scratch_system(
        postgres.url, redis.url, profile="instant", time_scale=1.0, **SETTINGS
    ) as system:
        system.start("control", "llm-ollama", "listener")
        warm = system.insert("warm", "Summarise the first task of the day")
        system.wait_status(warm, "completed")
        if options.cost:
            return cost_of_a_task(system, postgres, redis, options.tasks)
        figures["insert_to_request_ms"] = _latencies(system, options.probes)
        rates = [
            (_ours(system, options.tasks), _bare(system, options.tasks))
            for _ in range(options.runs)
        ]
        figures["ours_per_second"] = [round(ours, 1) for ours, _ in rates]
        figures["bare_per_second"] = [round(bare, 1) for _, bare in rates]
        figures["ratio_median"] = round(statistics.median(ours / bare for ours, bare in rates), 3)
    return figures


def _latencies(system: System, probes: int) -> dict[str, float]:
    connection = psycopg2.connect(system.environ["DATABASE_URL"])
    connection.autocommit = True
    waits: list[float] = []
    with connection.cursor() as cursor:
        for number in range(probes):
            time.sleep(0.05)
            cursor.execute(
                "INSERT INTO tasks (title, description) VALUES ('probe', %s) RETURNING id::text",
                (f"Summarise the topic number {number} in a few words",),
            )
            committed = time.time()
            row = cursor.fetchone()
            assert row is not None
            system.wait_status(row[0], "completed")
            entry = system.ollama.stats(journal=1)["journal"][-1]
            waits.append((entry["arrived_at"] - committed) * 1000)
    connection.close()
    waits.sort()
    return {
        "p50": round(statistics.median(waits), 1),
        "p95": round(waits[int(len(waits) * 0.95)], 1),
        "max": round(waits[-1], 1),
    }


def _ours(system: System, tasks: int) -> float:
    before = system.counts().get("completed", 0)
    began = time.monotonic()
    system.sql(INSERT_MANY, (tasks,))
    system.wait(lambda: system.counts().get("completed", 0) >= before + tasks, deadline_seconds=300)
    return tasks / (time.monotonic() - began)


def _bare(system: System, tasks: int) -> float:
    """The same rows and server; our own programs are idle meanwhile."""
    system.sql(
        "INSERT INTO tasks (title, description, status) SELECT 'bare', 'bare', 'bare' "
        "FROM generate_series(1, %s)",
        (tasks,),
    )
    ids = [row["id"] for row in system.sql("SELECT id::text FROM tasks WHERE status = 'bare'")]
    model = "tinyllama:1.1b-chat"
    environ = {**os.environ, **system.environ, "BENCH_MODEL": model}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.pipeline.bare"], cwd=ROOT, env=environ
    )
    try:
        broker = RedisBroker(url=system.environ["REDIS_URL"], middleware=[])
        broker.declare_queue("bare")
        began = time.monotonic()
        for task_id in ids:
            broker.enqueue(
                dramatiq.Message(
                    queue_name="bare", actor_name="work", args=(task_id,), kwargs={}, options={}
                )
            )
        system.wait(
            lambda: not system.sql("SELECT 1 FROM tasks WHERE title = 'bare' AND "
                                   "status <> 'completed' LIMIT 1"),
            deadline_seconds=300,
        )  # fmt: skip
        seconds = time.monotonic() - began
    finally:
        process.terminate()
        process.wait(20)
    system.sql("DELETE FROM tasks WHERE title = 'bare'")
    return tasks / seconds


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--probes", type=int, default=60)
    parser.add_argument("--cost", action="store_true", help="the cost of one task instead")
    parser.add_argument("--backlog", action="store_true", help="behind --short and --long rows")
    parser.add_argument("--short", type=int, default=5_000)
    parser.add_argument("--long", type=int, default=1_000_000)
    parser.add_argument("--urgent", type=int, default=10, help="urgent rows to insert")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _print(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:<24} {value}")


if __name__ == "__main__":
    main()
