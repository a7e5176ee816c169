"""Recovery: from the death of a worker to its tasks running again, on this host and a lost one.

    scripts/bench recovery [--times 10] [--lease 10] [--json] [--part killed|lost|poison]

*Killed*: kill -9 of the worker, which is started again at once, as supervisor does. *Lost*: the
worker calls itself a process of another host and never comes back; a second worker of the same
backend runs. Prints seconds from the kill to the next attempt on each task. *Poison*: 1,000 tasks
of which 20 kill the worker they run in; prints how each kind ended and the crashes counted.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.systems import lone_system
from tests.support import crashers
from tests.support.system import System

TASKS = 4
SAME_HOST_SECONDS = 5.0
SLACK_SECONDS = 5.0
ROWS, CRASHERS = 1000, 20
POISON_SECONDS = 1800.0
LONG = "Write a long study of the history of databases, with every detail that you know. Part {}."


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--lease", type=float, default=10.0, help="seconds")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--part", choices=("killed", "lost", "poison"), action="append")
    options = parser.parse_args()
    parts = options.part or ["killed", "lost", "poison"]
    found: dict[str, dict[str, Any]] = {}
    if "killed" in parts:
        seconds = [_killed(options.lease) for _ in range(options.times)]
        found["killed"] = _summary(seconds, bound=SAME_HOST_SECONDS)
    if "lost" in parts:
        seconds = [_lost(options.lease) for _ in range(max(1, options.times // 3))]
        found["lost_host"] = _summary(seconds, bound=options.lease + SLACK_SECONDS)
    if "poison" in parts:
        found["poison"] = _poison()
    print(json.dumps(found, indent=2) if options.json else _text(found))
    return 0 if all(part["kept"] for part in found.values()) else 1


def _poison() -> dict[str, Any]:
    """A thousand tasks, twenty of which kill their worker, with the settings as they come."""
    with tempfile.TemporaryDirectory(prefix="kos-crashers-") as scratch:
        path = crashers.install(Path(scratch))
        with _running(60.0, time_scale=200.0, limit=10, PYTHONPATH=path) as system:
            crashers.insert(system, rows=ROWS, crashers=CRASHERS)
            end = crashers.until_ended(system, deadline_seconds=POISON_SECONDS)
    kept = (end.poison, end.completed, end.other_ends) == (CRASHERS, ROWS - CRASHERS, 0)
    return {**asdict(end), "kept": kept and max(end.innocent_crash_counts) <= 1}


def _killed(lease_seconds: float) -> float:
    """The worker is started again as supervisor would, a second later."""

    def happen(system: System) -> None:
        system.kill("llm-ollama")
        time.sleep(1.0)
        system.start("llm-ollama")

    return _until_running_again(lease_seconds, happen)


def _lost(lease_seconds: float) -> float:
    """Its rows name an owner of another host, so that only the lease tells that it is gone."""

    def happen(system: System) -> None:
        system.kill("llm-ollama", with_signal=signal.SIGSTOP)
        system.sql("UPDATE tasks SET lease_owner = 'another-host/1/1' WHERE status = 'in_progress'")
        system.kill("llm-ollama")
        system.start("llm-ollama#2")

    return _until_running_again(lease_seconds, happen)


def _until_running_again(lease_seconds: float, happen: Callable[[System], None]) -> float:
    """Seconds until the last of the tasks has a second attempt."""
    with _running(lease_seconds) as system:
        # A fast model: fewer heavy ones may run at once than there are tasks here.
        ids = [
            system.insert(f"Study {number}", LONG.format(number), metadata={"category": "fast"})
            for number in range(TASKS)
        ]
        system.wait(lambda: system.counts() == {"in_progress": TASKS}, what="all running")
        began = time.monotonic()
        happen(system)
        system.wait(
            lambda: all(len(system.attempts(task_id)) > 1 for task_id in ids),
            deadline_seconds=lease_seconds + 60,
            what="second attempts",
        )
        return time.monotonic() - began


@contextmanager
def _running(
    lease_seconds: float, *, time_scale: float = 1.0, limit: int = TASKS, **environ: str
) -> Iterator[System]:
    """One backend, so that it is one worker's death that stops the work."""
    with lone_system(
        time_scale=time_scale,
        MLX_API_URL="off",
        KOS_LEASE_SECONDS=f"{lease_seconds:g}",
        SMART_WORKER_MAX_CONCURRENT=str(limit),
        **environ,
    ) as system:
        system.start("control", "listener", "llm-ollama")
        yield system


def _summary(seconds: list[float], *, bound: float) -> dict[str, Any]:
    return {
        "runs": len(seconds),
        "median_seconds": round(statistics.median(seconds), 2),
        "max_seconds": round(max(seconds), 2),
        "bound_seconds": bound,
        "kept": statistics.median(seconds) <= bound,
    }


def _text(found: dict[str, dict[str, Any]]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in found.items())


if __name__ == "__main__":
    sys.exit(main())
