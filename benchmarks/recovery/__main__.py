"""Recovery: from the death of a worker to its tasks running again, on this host and a lost one.

    python -m benchmarks.recovery [--times 10] [--lease 10] [--json]

*Killed*: kill -9 of the worker, which is started again at once, as supervisor does. *Lost*: the
worker calls itself a process of another host and never comes back; a second worker of the same
backend runs. Prints seconds from the kill to the next attempt on each task.
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
from pathlib import Path

from models import database
from tests.support.embedded import postgres_server, redis_server
from tests.support.system import System, running_system

TASKS = 4
SAME_HOST_SECONDS = 5.0
SLACK_SECONDS = 5.0
LONG = "Write a long study of the history of databases, with every detail that you know. Part {}."


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--lease", type=float, default=10.0, help="seconds")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    killed = [_killed(options.lease) for _ in range(options.times)]
    lost = [_lost(options.lease) for _ in range(max(1, options.times // 3))]
    found = {
        "lease_seconds": options.lease,
        "killed_seconds": _summary(killed, bound=SAME_HOST_SECONDS),
        "lost_host_seconds": _summary(lost, bound=options.lease + SLACK_SECONDS),
    }
    print(json.dumps(found, indent=2) if options.json else _text(found))
    return 0 if _kept(found["killed_seconds"]) and _kept(found["lost_host_seconds"]) else 1


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
        ids = [system.insert(f"Study {number}", LONG.format(number)) for number in range(TASKS)]
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
def _running(lease_seconds: float) -> Iterator[System]:
    """One backend, so that it is one worker's death that stops the work."""
    with (
        tempfile.TemporaryDirectory(prefix="kos-recovery-") as scratch,
        postgres_server() as postgres,
        redis_server() as redis,
        running_system(
            postgres.url, redis.url, Path(scratch), time_scale=1.0,
            MLX_API_URL="off", KOS_LEASE_SECONDS=f"{lease_seconds:g}",
            SMART_WORKER_MAX_CONCURRENT=str(TASKS),
        ) as system,
    ):  # fmt: skip
        try:
            system.start("control", "listener", "llm-ollama")
            yield system
        finally:
            system.stop()
            database.close_all()


def _summary(seconds: list[float], *, bound: float) -> dict[str, float]:
    return {
        "runs": len(seconds),
        "median": round(statistics.median(seconds), 2),
        "max": round(max(seconds), 2),
        "bound": bound,
    }


def _kept(summary: object) -> bool:
    assert isinstance(summary, dict)
    return bool(summary["median"] <= summary["bound"])


def _text(found: dict[str, object]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in found.items())


if __name__ == "__main__":
    sys.exit(main())
