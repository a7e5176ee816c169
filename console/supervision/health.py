"""Waits until what was started runs and answers, or says what does not."""

from __future__ import annotations

import socket
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from console.services.errors import ServiceError
from console.supervision.client import ProgramStatus, Supervisor
from console.supervision.programs import runs_mlx_server
from jobs.settings import Settings

POLL_SECONDS = 0.05
HOPELESS_RESTARTS = 3
GIVEN_UP = frozenset({"FATAL", "UNKNOWN"})


def wait_until_running(
    supervisor: Supervisor, settings: Settings, *, timeout_seconds: float
) -> None:
    """Every program RUNNING and every listener accepting; raises ServiceError naming one that
    is not, with the last line it wrote."""
    deadline = time.monotonic() + timeout_seconds
    falls: Counter[str] = Counter()
    before: dict[str, str] = {}
    while True:
        programs = supervisor.status()
        for program in programs:
            if program.state == "BACKOFF" and before.get(program.name) != "BACKOFF":
                falls[program.name] += 1
            if program.state in GIVEN_UP or falls[program.name] >= HOPELESS_RESTARTS:
                raise ServiceError(_complaint(program, settings))
            before[program.name] = program.state
        late = [program for program in programs if program.state != "RUNNING"]
        silent = [] if late else _silent(settings)
        if not late and not silent:
            return
        if time.monotonic() > deadline:
            raise ServiceError(
                _complaint(late[0], settings) if late else _silence(silent[0], settings)
            )
        time.sleep(POLL_SECONDS)


def listeners(settings: Settings) -> dict[str, tuple[str, int]]:
    """The addresses at which our own programs answer people and workers."""
    host = settings.dashboard_host
    found = {
        "watch:dashboard": ("127.0.0.1" if host in {"0.0.0.0", "::"} else host,
                            settings.dashboard_port),
    }  # fmt: skip
    servers = {name: f"servers:simulator-{name}" for name in settings.simulated}
    if runs_mlx_server(settings):
        servers["mlx"] = "servers:mlx-api"
    for name, program in servers.items():
        backend = settings.backend(name)
        parts = urlsplit(backend.url if backend else "")
        if parts.hostname and parts.port:
            found[program] = (parts.hostname, parts.port)
    return found


def last_words(log: Path) -> str:
    """The last line that a program wrote that is not blank."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines else ""


def _silent(settings: Settings) -> list[str]:
    return [name for name, address in listeners(settings).items() if not _accepts(address)]


def _accepts(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=2).close()
    except OSError:
        return False
    return True


def _complaint(program: ProgramStatus, settings: Settings) -> str:
    log = settings.log_directory / f"{program.name.partition(':')[2]}.log"
    said = last_words(log) or program.detail or "it wrote nothing"
    return f"{program.name} does not stay up ({program.state}): {said}; see {log}"


def _silence(name: str, settings: Settings) -> str:
    host, port = listeners(settings)[name]
    log = settings.log_directory / f"{name.partition(':')[2]}.log"
    return f"{name} runs but does not answer at {host}:{port}; see {log}"
