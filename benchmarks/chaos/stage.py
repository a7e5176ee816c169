"""The system that chaos is done to, and who starts its programs again when they die.

Real programs, two simulated model servers, a Postgres and a Redis of its own. The keeper does what
supervisor does: a program that ended is started again after a second.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.chaos import apart
from benchmarks.chaos.script import APART, WORKERS
from console.home import free_port
from models import database
from tests.support.embedded import Server, postgres_server, redis_server
from tests.support.freezing_proxy import FreezingProxy, freezing_proxy
from tests.support.programs import Program
from tests.support.simulators import RunningSimulator
from tests.support.system import System, running_system

LEASE_SECONDS = 8.0
LIMITS = {"ollama": 6, "mlx": 3}
TOTAL_LIMIT = 6
RESTART_SECONDS = 1.0
POLL_SECONDS = 0.05
PROGRAMS = ("control", "listener", "scheduler", "health_checker", *WORKERS)

BACKEND_FAULTS = {
    "reset": 0.02,
    "500": 0.015,
    "truncate": 0.015,
    "drop": 0.01,
    "error-line": 0.01,
    "echo": 0.01,
    "blank": 0.01,
    "hang-after": 0.005,
    "invalid-utf8": 0.005,
}
"""Together a tenth of the requests."""

PROFILE: dict[str, Any] = {
    "max_resident_models": 2,
    "slots": 1000,
    "queue_limit": 0,
    "min_answer_tokens": 24,
    "max_answer_tokens": 48,
    "models": [
        {
            "name": name,
            "size_bytes": size_bytes,
            "parameters": size_bytes,
            "context_tokens": 32768,
            "capabilities": ["completion"],
            "load_seconds": 0.5,
            "prefill_tokens_per_second": 2000,
            "decode_tokens_per_second": 40,
        }
        for name, size_bytes in (
            ("tinyllama:1.1b-chat", 640_000_000),
            ("phi3.5:3.8b", 2_200_000_000),
        )
    ],
}
"""More slots than the limits allow: what is counted there is what the limits let through."""

ENVIRON = {
    "KOS_LEASE_SECONDS": str(LEASE_SECONDS),
    "KOS_HEARTBEAT_SECONDS": "2",
    "KOS_DRAIN_SECONDS": "3",
    "KOS_HEALTH_INTERVAL_SECONDS": "2",
    "SMART_WORKER_RETRY_DELAY_SEC": "1",
    "SMART_WORKER_LLM_TIMEOUT": "8",
    "MODEL_LOAD_BUFFER_SEC": "1",
    "SMART_WORKER_MAX_CONCURRENT": str(TOTAL_LIMIT),
    "MLX_MAX_CONCURRENT": str(LIMITS["mlx"]),
}


@dataclass
class Stage:
    """``died`` counts the ends of each program that the keeper made up for, ``dead`` holds their
    process ids. Programs reach Postgres and Redis through ``links``, everybody else directly."""

    system: System
    postgres: Server
    redis: Server
    clock_file: Path
    links: dict[str, FreezingProxy]
    linked: dict[str, str]
    programs: tuple[str, ...] = PROGRAMS
    died: Counter[str] = field(default_factory=Counter)
    dead: set[int] = field(default_factory=set)
    excused_until: float = 0.0
    _stopping: threading.Event = field(default_factory=threading.Event)
    _keeper: threading.Thread | None = None

    def start(self) -> None:
        if apart.is_allowed():
            self.programs = (*PROGRAMS, APART)
        for name in self.programs:
            self._launch(name)
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._keeper.start()

    def stop_keeping(self) -> None:
        self._stopping.set()
        if self._keeper is not None:
            self._keeper.join(timeout=10)

    def simulator(self, backend: str) -> RunningSimulator:
        return self.system.ollama if backend == "ollama" else self.system.mlx

    def pid(self, program: str) -> int:
        return self.system.programs[program].pid

    def excuse(self, seconds: float) -> None:
        """Rows may stand still for so long: nobody can write, or their times were shifted."""
        self.excused_until = max(self.excused_until, time.monotonic() + seconds)

    def _keep(self) -> None:
        due: dict[str, float] = {}
        while not self._stopping.wait(POLL_SECONDS):
            for name in self.programs:
                if self.system.programs[name].poll() is None:
                    continue
                if name not in due:
                    self.died[name] += 1
                    self.dead.add(self.pid(name))
                    due[name] = time.monotonic() + RESTART_SECONDS
                elif time.monotonic() >= due[name]:
                    del due[name]
                    self._launch(name)

    def _launch(self, name: str) -> None:
        module, *arguments = self._arguments(name)
        self.system.programs[name] = Program(
            module,
            *arguments,
            environ={**os.environ, **self.system.environ, **self.linked},
            log=self.system.directory / f"{name}.log",
        )

    def _arguments(self, name: str) -> list[str]:
        if name == "scheduler":
            return ["benchmarks.chaos.shifted_scheduler", str(self.clock_file)]
        if name in ("listener", "health_checker"):
            return [f"jobs.{name}"]
        queues = "control,maintenance" if name == "control" else name.split("#")[0]
        program = ["--program", f"jobs:{name.split('#')[0]}"]
        worker = ["jobs.worker", "--queues", queues, "--threads", "6", *program]
        return ["benchmarks.chaos.apart", *worker] if name == APART else worker


@contextmanager
def stage(directory: Path, **environ: str) -> Iterator[Stage]:
    """Everything up but the programs; whatever runs at the end is stopped."""
    with postgres_server(durable=True) as postgres, redis_server(durable=True) as redis:
        wanted = {**ENVIRON, "KOS_HEALTH_PORT": str(free_port()), **environ}
        with (
            running_system(
                postgres.url, redis.url, directory, time_scale=1.0, profile=PROFILE, **wanted
            ) as system,
            freezing_proxy(postgres.url) as (to_postgres, database_url),
            freezing_proxy(redis.url) as (to_redis, redis_url),
        ):
            started = Stage(
                system,
                postgres,
                redis,
                directory / "clock-offset",
                links={"postgres": to_postgres, "redis": to_redis},
                linked={"DATABASE_URL": database_url, "REDIS_URL": redis_url},
            )
            try:
                yield started
            finally:
                started.stop_keeping()
                system.stop()
                database.close_all()
