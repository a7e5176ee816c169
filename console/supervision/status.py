"""What runs now, and one program started anew."""

from __future__ import annotations

import time

from console.services.errors import ServiceError
from console.supervision.choices import choose_socket
from console.supervision.client import ProgramStatus, Supervisor, connected
from jobs.settings.load import Settings

POLL_SECONDS = 0.05
LOOK_SECONDS = 5.0
IN_BETWEEN = frozenset({"STOPPING", "STARTING", "BACKOFF"})


def status(settings: Settings) -> tuple[ProgramStatus, ...]:
    """Every program. Raises SupervisorNotRunning when there is no supervisor to ask, and
    SupervisorSilent."""
    with connected(choose_socket(settings), seconds=LOOK_SECONDS) as supervisor:
        return supervisor.status()


def restart(settings: Settings, program: str, *, timeout_seconds: float = 60.0) -> ProgramStatus:
    """Stop ``group:name``, start it, and return it RUNNING; raises ServiceError."""
    deadline = time.monotonic() + timeout_seconds
    with connected(choose_socket(settings)) as supervisor:
        supervisor.stop(program)
        _settled(supervisor, program, deadline=deadline)
        supervisor.start(program)
        found = _settled(supervisor, program, deadline=deadline)
    if not found.runs:
        raise ServiceError(f"{program} does not start ({found.state}); see its log")
    return found


def _settled(supervisor: Supervisor, name: str, *, deadline: float) -> ProgramStatus:
    while True:
        for program in supervisor.status():
            if program.name == name and program.state not in IN_BETWEEN:
                return program
        if time.monotonic() > deadline:
            raise ServiceError(f"{name} takes too long to stop or start; see its log")
        time.sleep(POLL_SECONDS)
