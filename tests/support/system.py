"""The whole system for tests: our real programs as processes, on real services, no supervisor.

A program that a test kills stays dead unless the test starts it again.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras
import pytest

from models import database
from models.expert import Expert
from models.migrations import runner
from tests.support.polling import pauses
from tests.support.programs import Program
from tests.support.simulators import RunningSimulator, simulator

ROOT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 20.0

EXPERTS = (
    {"name": "Anna", "role": "Backend engineer", "department": "Backend",
     "system_prompt": "You write careful backend code."},
    {"name": "Boris", "role": "Editor", "department": "Content",
     "system_prompt": "You edit texts."},
)  # fmt: skip


@dataclass
class System:
    """A running system. ``programs`` are processes by name."""

    environ: dict[str, str]
    directory: Path
    ollama: RunningSimulator
    mlx: RunningSimulator
    programs: dict[str, Program] = field(default_factory=dict)
    _connections: dict[str, Any] = field(default_factory=dict, repr=False)

    def start(self, *names: str) -> None:
        """Start programs by name: control, llm-ollama, llm-mlx, listener, scheduler."""
        for name in names or ("control", "llm-ollama", "llm-mlx", "listener"):
            module, *arguments = _program(name)
            self.programs[name] = Program(
                module,
                *arguments,
                environ={**os.environ, **self.environ},
                log=self.directory / f"{name}.log",
            )

    def kill(self, name: str, *, with_signal: signal.Signals = signal.SIGKILL) -> None:
        self.programs[name].send_signal(with_signal)

    def stop(self, *names: str) -> None:
        """SIGTERM, and wait for the drain."""
        chosen = [self.programs.pop(name) for name in names or list(self.programs)]
        for process in chosen:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in chosen:
            process.stop(STOP_SECONDS)

    def sql(self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """What a stranger with psql would do, rows as dictionaries."""
        with self._connection().cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def _connection(self) -> Any:
        """One that is kept, for opening one takes 12 ms of a processor. A server that went has
        closed it."""
        url = self.environ["DATABASE_URL"]
        kept = self._connections.get(url)
        if kept is None or kept.closed or select.select([kept], [], [], 0)[0]:
            kept = psycopg2.connect(url)
            kept.autocommit = True
            self._connections[url] = kept
        return kept

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def insert(self, title: str, description: str, **columns: Any) -> str:
        names = ["title", "description", *columns]
        marks = ", ".join(["%s"] * len(names))
        values = [
            psycopg2.extras.Json(value) if isinstance(value, dict) else value
            for value in (title, description, *columns.values())
        ]
        row = self.sql(
            f"INSERT INTO tasks ({', '.join(names)}) VALUES ({marks}) RETURNING id::text", values
        )[0]
        return str(row["id"])

    def task(self, task_id: str) -> dict[str, Any]:
        return dict(self.sql("SELECT * FROM tasks WHERE id = %s", (task_id,))[0])

    def attempts(self, task_id: str) -> list[Any]:
        return self.sql("SELECT * FROM kos_attempts WHERE task_id = %s ORDER BY number", (task_id,))

    def counts(self) -> dict[str, int]:
        rows = self.sql("SELECT status, count(*) AS n FROM tasks GROUP BY 1")
        return {row["status"]: row["n"] for row in rows}

    def wait(
        self, holds: Callable[[], bool], *, deadline_seconds: float = 180.0, what: str = "condition"
    ) -> None:
        end = time.monotonic() + deadline_seconds
        for pause in pauses():
            if holds():
                return
            assert time.monotonic() < end, f"{what} not so in {deadline_seconds} s\n{self.tell()}"
            time.sleep(pause)

    def wait_status(
        self, task_id: str, status: str, *, deadline_seconds: float = 180.0
    ) -> dict[str, Any]:
        self.wait(
            lambda: self.task(task_id)["status"] == status,
            deadline_seconds=deadline_seconds,
            what=f"task {task_id} {status}",
        )
        return self.task(task_id)

    def log(self, name: str) -> str:
        path = self.directory / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def tell(self) -> str:
        """What a failed wait wants to see."""
        rows = self.sql("SELECT status, last_error, count(*) AS n FROM tasks GROUP BY 1, 2")
        logs = "\n".join(f"--- {name}\n{self.log(name)[-3000:]}" for name in self.programs)
        return f"{[dict(row) for row in rows]}\n{logs}"


def _program(name: str) -> list[str]:
    """The module of a program and its arguments."""
    if name in ("listener", "scheduler", "health_checker"):
        return [f"jobs.{name}"]
    if name == "gateway":
        return ["gateway"]
    queues = "control,maintenance" if name == "control" else name.split("#")[0]
    threads = "4" if name == "control" else "12"
    return ["jobs.worker", "--queues", queues, "--threads", threads]


@contextmanager
def running_system(
    postgres_url: str,
    redis_url: str,
    directory: Path,
    *,
    time_scale: float = 200.0,
    profile: Mapping[str, Any] | str | None = None,
    **environ: str,
) -> Iterator[System]:
    """A migrated database with two experts, two simulators, and no program started yet."""
    with (
        simulator("ollama", time_scale=time_scale, profile=profile, directory=directory) as ollama,
        simulator("mlx", time_scale=time_scale, profile=profile, directory=directory) as mlx,
    ):
        system = System(
            environ={
                "DATABASE_URL": postgres_url,
                "REDIS_URL": redis_url,
                "OLLAMA_API_URL": ollama.url,
                "MLX_API_URL": mlx.url,
                "KOS_HOME": str(directory / "home"),
                "SMART_WORKER_RETRY_DELAY_SEC": "0.2",
                **environ,
            },
            directory=directory,
            ollama=ollama,
            mlx=mlx,
        )
        migrate(postgres_url)
        try:
            yield system
        finally:
            system.stop()
            system.close()


def migrate(postgres_url: str) -> None:
    """Migrate and add two experts; leaves this process pointed at the database."""
    database.configure(postgres_url, pool_size=15, application_name="kos-test")
    runner.up()
    with database.session():
        Expert.add_missing(EXPERTS)


@pytest.fixture
def database_here(migrated_url: str) -> Iterator[str]:
    """A migrated database that this process is connected to."""
    migrate(migrated_url)
    with database.session():
        yield migrated_url
    database.close_all()


@pytest.fixture
def system(migrated_url: str, redis_url: str, tmp_path: Path) -> Iterator[System]:
    with running_system(migrated_url, redis_url, tmp_path) as running:
        yield running
    database.close_all()
