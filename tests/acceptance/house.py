"""A whole deployment under a real supervisord, in a home with a space in its path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import psycopg2.extras
import requests

from console.supervision.orphans import end_orphans, supervisord_pid
from console.supervision.start import up
from console.supervision.status import status
from console.supervision.stop import down
from jobs.settings.load import PROJECT, Settings, load
from models import database
from tests.support.ports import own_ports

POLL_SECONDS = 0.02
KOS = "import sys; from console.cli.main import main; sys.exit(main())"
NOWHERE = "http://127.0.0.1:9"


@dataclass
class House:
    """``kos`` runs the command line; ``variables`` are settings of this deployment."""

    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "KOS_HOME": str(self.home),
            "OLLAMA_API_URL": NOWHERE,
            "MLX_API_URL": NOWHERE,
            "MLX_MODELS_DIR": str(self.home / "models"),
            **self.variables,
        }

    @property
    def settings(self) -> Settings:
        return load(self.environ)

    def up(self) -> Settings:
        return up(self.settings, demo=True, environ=self.environ, timeout_seconds=120)

    def down(self, *, timeout_seconds: float = 30.0) -> bool:
        return down(self.settings, timeout_seconds=timeout_seconds)

    def kos(self, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run ``kos``; its exit code must be ``code`` unless that is None."""
        done = subprocess.run(
            [sys.executable, "-c", KOS, *words],
            env=self.environ, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert code is None or done.returncode == code, f"{done.returncode}: {done.stderr}"
        return done

    def pids(self) -> dict[str, int | None]:
        """By ``group:name``; None where the program does not run."""
        return {
            program.name: program.pid if program.state == "RUNNING" else None
            for program in status(self.settings)
        }

    def sql(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        with closing(psycopg2.connect(self.settings.database_url)) as connection:
            connection.autocommit = True
            with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
                cursor.execute(statement, parameters or None)
                return list(cursor.fetchall()) if cursor.description else []

    def insert(
        self, title: str, description: str, *, metadata: Mapping[str, Any] | None = None
    ) -> str:
        row = self.sql(
            "INSERT INTO tasks (title, description, metadata) VALUES (%s, %s, %s) "
            "RETURNING id::text",
            (title, description, psycopg2.extras.Json(dict(metadata or {}))),
        )[0]
        return str(row["id"])

    def task(self, task_id: str) -> dict[str, Any]:
        return dict(self.sql("SELECT * FROM tasks WHERE id = %s", (task_id,))[0])

    def outcomes(self, task_id: str) -> list[str]:
        rows = self.sql(
            "SELECT outcome FROM kos_attempts WHERE task_id = %s ORDER BY number", (task_id,)
        )
        return [row["outcome"] for row in rows]

    def simulator(self, backend: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        spec = self.settings.backend(backend)
        assert spec is not None
        url, answers = f"{spec.url}/_sim/{path}", []

        def answers_now() -> bool:
            """A simulator that was just restarted runs before it listens."""
            answers.append(
                requests.request(
                    method, url, json=body, timeout=10, headers={"Connection": "close"}
                )
            )
            return True

        self.wait(answers_now, what=f"{backend} answers")
        assert answers[-1].ok, answers[-1].text
        said: dict[str, Any] = answers[-1].json()
        return said

    def health(self) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.settings.health_port}/healthz"
        document: dict[str, Any] = requests.get(url, timeout=10).json()
        return document

    def wait(
        self, holds: Callable[[], bool], *, deadline_seconds: float = 180.0, what: str = "condition"
    ) -> float:
        """Seconds until ``holds``; what it asks may be away meanwhile."""
        began = time.monotonic()
        while not self._holds(holds):
            waited = time.monotonic() - began
            assert waited < deadline_seconds, f"{what} not so in {waited:.0f} s\n{self.tell()}"
            time.sleep(POLL_SECONDS)
        return time.monotonic() - began

    def wait_status(
        self, task_id: str, state: str, *, deadline_seconds: float = 180.0
    ) -> dict[str, Any]:
        self.wait(
            lambda: self.task(task_id)["status"] == state,
            deadline_seconds=deadline_seconds,
            what=f"task {task_id} {state}",
        )
        return self.task(task_id)

    def tell(self) -> str:
        parts = [
            f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}"
            for path in sorted(self.settings.log_directory.glob("*.log"))
        ]
        rows = self.sql("SELECT status, backend, last_error, count(*) FROM tasks GROUP BY 1, 2, 3")
        programs = [str(program) for program in status(self.settings)]
        return "\n".join([*parts, *(str(dict(row)) for row in rows), *programs])

    @staticmethod
    def _holds(holds: Callable[[], bool]) -> bool:
        try:
            return holds()
        except (psycopg2.OperationalError, requests.ConnectionError):
            return False


@contextmanager
def house(**variables: str) -> Iterator[House]:
    """A home of its own; everything that runs there at the end is stopped, and its data go."""
    with tempfile.TemporaryDirectory(prefix="kos home ", ignore_cleanup_errors=True) as scratch:
        root = Path(scratch).resolve()
        root.chmod(0o711)
        made = House(root / "home", {**own_ports(), **variables})
        try:
            yield made
        finally:
            end(made)


def end(made: House) -> None:
    """Stop it, and hold it to leaving nothing behind."""
    database.close_all()
    if (made.home / "run").is_dir():
        made.down()
        socket = made.settings.supervisor_socket
        if socket is not None:
            end_orphans(made.home, socket)
    assert supervisord_pid(made.home) is None
    assert running_in(made.home) == []


def running_in(home: Path) -> list[str]:
    """Processes whose environment names this home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("KOS_HOME") == str(home):
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
        except psutil.Error:
            continue
    return found


def parsed(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)
