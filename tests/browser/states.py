"""The five states in which a newcomer is asked what the first screen says."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.support.system import System

TOPICS = ("leases", "queues", "back-off", "streams", "indexes", "locks", "retries", "caches")
PROGRAMS = ("control", "llm-ollama", "llm-mlx", "listener", "scheduler", "health_checker")


@dataclass(frozen=True, slots=True)
class State:
    """``prepare`` brings a system there that has just been migrated; ``level`` is that of the
    verdict, and ``says`` what the page says of it."""

    prepare: Callable[[System], None]
    level: str
    says: str


def submit(system: System, count: int) -> None:
    system.sql(
        "INSERT INTO tasks (title, description, priority, category) SELECT "
        "'Summarise ' || (%(topics)s::text[])[1 + mod(n, 8)] || ', part ' || n, "
        "'Summarise in five sentences what is known about part ' || n || ' of ' || "
        "(%(topics)s::text[])[1 + mod(n, 8)], "
        "(ARRAY['low','medium','high','urgent'])[1 + mod(n, 4)], "
        "(ARRAY['fast','coding','reasoning'])[1 + mod(n, 3)] FROM generate_series(1, %(n)s) AS n",
        {"topics": list(TOPICS), "n": count},
    )


def _started(system: System) -> None:
    (system.directory / "home").mkdir(exist_ok=True)
    system.start(*PROGRAMS)


def _idle(system: System) -> None:
    _started(system)
    submit(system, 12)
    system.wait(lambda: system.counts() == {"completed": 12}, deadline_seconds=180, what="all done")


def _busy(system: System) -> None:
    _started(system)
    submit(system, 500)
    at_work(system)


def _down(system: System) -> None:
    _busy(system)
    os.kill(system.mlx.pid, signal.SIGKILL)
    system.wait(lambda: not _running_at(system, "mlx"), deadline_seconds=120, what="mlx given up")


def _stuck(system: System) -> None:
    _busy(system)
    system.kill("control", with_signal=signal.SIGSTOP)


def _failing(system: System) -> None:
    _started(system)
    system.ollama.fault("echo", match="leases")
    system.mlx.fault("echo", match="leases")
    system.ollama.fault("404", match="queues")
    system.mlx.fault("404", match="queues")
    submit(system, 160)
    system.wait(lambda: system.counts().get("failed", 0) > 5, deadline_seconds=180, what="failures")


def _running_at(system: System, backend: str) -> bool:
    return bool(
        system.sql(
            "SELECT FROM tasks WHERE status IN ('queued', 'in_progress') AND backend = %s LIMIT 1",
            (backend,),
        )
    )


def at_work(system: System) -> None:
    """Some tasks are done, others run."""

    def working() -> bool:
        found = system.counts()
        return found.get("completed", 0) > 50 and found.get("in_progress", 0) > 2

    system.wait(working, deadline_seconds=180, what="work")


STATES: Mapping[str, State] = {
    "idle": State(_idle, "ok", "nothing waits"),
    "busy": State(_busy, "busy", "done about"),
    "down": State(_down, "warn", "mlx does not answer"),
    "stuck": State(_stuck, "bad", "Nothing new starts"),
    "failing": State(_failing, "warn", "failed"),
}
