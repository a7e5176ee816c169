"""Waits until what was started runs and answers, or says what does not."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from console.services.errors import ServiceError
from console.services.postgres import wait_until_connectable
from console.services.redis import wait_until_pings
from console.supervision.addresses import Address, accepts, dashboard_address, gateway_address
from console.supervision.client import ProgramStatus, Supervisor
from console.supervision.programs import runs_mlx_server
from console.supervision.readiness import Unready
from jobs.settings.load import Settings
from jobs.upkeep.health.refusals import remedy

POLL_SECONDS = 0.05
SLICE_SECONDS = 0.25
EMBEDDED_SECONDS = 60.0
GRACE_SECONDS = 5.0
HOPELESS_RESTARTS = 2
HOPELESS_STATES = frozenset({"FATAL", "UNKNOWN"})


class RestartWatch:
    """Counts the restarts of each program, to tell a slow start from a hopeless one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._restarts: Counter[str] = Counter()
        self._before: dict[str, ProgramStatus] = {}

    def look(self, programs: Iterable[ProgramStatus]) -> None:
        """Raises ServiceError naming a program that will not stay up, with its last words."""
        for program in programs:
            self._restarts[program.name] += self._has_restarted(program)
            self._before[program.name] = program
            restarts = self._restarts[program.name]
            if program.state in HOPELESS_STATES or restarts >= HOPELESS_RESTARTS:
                raise ServiceError(complaint(program, self._settings))

    def _has_restarted(self, program: ProgramStatus) -> bool:
        """Whether supervisor restarted it since the last look."""
        before = self._before.get(program.name)
        return before is not None and before.started not in {0, program.started}


def wait_until_running(
    supervisor: Supervisor, settings: Settings, *, unready: Unready, timeout_seconds: float
) -> None:
    """Every program RUNNING and ready, every listener accepting.

    A busy machine starts them slowly: ``timeout_seconds`` counts from the last program that came.
    Raises ServiceError naming one that does not, with the last line it wrote.
    """
    watch = RestartWatch(settings)
    best: tuple[float, float, float] = (math.inf, math.inf, math.inf)
    while True:
        programs = {program.name: program for program in supervisor.status()}
        watch.look(programs.values())
        starting = [program.name for program in programs.values() if not program.runs]
        late = starting or unready(settings, programs.values())
        silent = [] if late else _silent(settings)
        if not late and not silent:
            return
        missing = (len(starting), len(late), len(silent))
        if missing < best:
            best, deadline = missing, time.monotonic() + timeout_seconds
        if time.monotonic() > deadline:
            raise ServiceError(
                complaint(programs[late[0]], settings) if late else _silence(silent[0], settings)
            )
        time.sleep(POLL_SECONDS)


def wait_for_databases(supervisor: Supervisor, settings: Settings) -> None:
    """Wait until both answer; fail at once if ours cannot start or a configured URL is dead."""
    for url, embedded, wait, variable in (
        (settings.database_url, settings.embedded_postgres, wait_until_connectable, "DATABASE_URL"),
        (settings.redis_url, settings.embedded_redis, wait_until_pings, "REDIS_URL"),
    ):
        watch = RestartWatch(settings)
        deadline = time.monotonic() + (EMBEDDED_SECONDS if embedded else GRACE_SECONDS)
        while True:
            try:
                wait(url or "", timeout_seconds=SLICE_SECONDS)
                break
            except ServiceError as error:
                watch.look(program for program in supervisor.status() if program.group == "infra")
                if time.monotonic() > deadline:
                    place = f"see {settings.log_directory}" if embedded else f"check {variable}"
                    raise ServiceError(f"{error}; {remedy(error, place)}") from error


def listeners(settings: Settings) -> dict[str, Address]:
    """The addresses at which our own programs answer people and workers."""
    found = {
        "watch:dashboard": dashboard_address(settings),
        "watch:gateway": gateway_address(settings),
    }
    found = {name: at for name, at in found.items() if name[6:] in settings.role.programs}
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
    return [name for name, address in listeners(settings).items() if not accepts(address)]


def complaint(program: ProgramStatus, settings: Settings) -> str:
    log = settings.log_directory / f"{program.name.partition(':')[2]}.log"
    message = last_words(log) or program.detail or "it wrote nothing"
    what = "runs but is not ready" if program.runs else "does not stay up"
    return f"{program.name} {what} ({program.state}): {message}; see {log}"


def _silence(name: str, settings: Settings) -> str:
    host, port = listeners(settings)[name]
    log = settings.log_directory / f"{name.partition(':')[2]}.log"
    return f"{name} runs but does not answer at {host}:{port}; see {log}"
