"""``down``: everything stopped within a bound, work in flight kept."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable

import psutil

from console.services.errors import ServiceError
from console.services.processes import still_alive
from console.supervision.choices import choose_socket
from console.supervision.client import ProgramStatus, Supervisor, SupervisorSilent, connected
from console.supervision.orphans import end_orphans
from console.supervision.start import STOPPED_ON_PURPOSE, only_one
from jobs.settings.load import Settings

POLL_SECONDS = 0.05
STOPPED = frozenset({"STOPPED", "EXITED", "FATAL", "UNKNOWN"})
INFRA_SECONDS = 4.0
INSIST_SECONDS = 5.0


def down(settings: Settings, *, timeout_seconds: float = 30.0) -> bool:
    """Stop every program, the databases last; False if none ran.

    Workers drain first. Towards the end of ``timeout_seconds`` they get a second signal, which
    returns their tasks, and are then killed; recovery returns the tasks of killed ones. Where
    supervisord itself does not answer, it is ended with its programs.
    """
    if not (settings.home / "run").is_dir():
        return False
    deadline = time.monotonic() + timeout_seconds
    with contextlib.suppress(OSError):  # a full disk must not turn a stop into a failure
        (settings.home / "run" / STOPPED_ON_PURPOSE).touch()
    socket = choose_socket(settings)
    with only_one(settings.home), connected(socket) as supervisor:
        try:
            if supervisor.answers():
                _stop(supervisor, {"watch", "jobs"}, deadline=deadline - INFRA_SECONDS)
                _stop(supervisor, {"servers", "infra"}, deadline=deadline)
                _shut_down(supervisor, deadline=deadline + INSIST_SECONDS)
                return True
        except SupervisorSilent:
            pass
        return end_orphans(settings.home, socket) > 0


def _stop(supervisor: Supervisor, groups: Iterable[str], *, deadline: float) -> None:
    present = {program.group for program in supervisor.status()} & set(groups)
    for group in sorted(present, reverse=True):
        supervisor.stop(f"{group}:*")
    insisted = False
    while left := _left(supervisor, present):
        remaining = deadline - time.monotonic()
        if remaining < INSIST_SECONDS and not insisted:
            insisted = True
            for program in left:
                supervisor.signal(program.name, "TERM")
        if remaining <= 0:
            _kill(left)
        time.sleep(POLL_SECONDS)


def _left(supervisor: Supervisor, groups: set[str]) -> list[ProgramStatus]:
    return [
        program
        for program in supervisor.status()
        if program.group in groups and program.state not in STOPPED
    ]


def _kill(programs: list[ProgramStatus]) -> None:
    """Supervisor made each of its programs the leader of a process group."""
    for program in programs:
        if program.pid is not None and program.pid > 1:
            try:
                os.killpg(program.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _shut_down(supervisor: Supervisor, *, deadline: float) -> None:
    process = psutil.Process(supervisor.pid())
    supervisor.shutdown()
    if still_alive([process], seconds=max(1.0, deadline - time.monotonic())):
        raise ServiceError(f"supervisord ({process.pid}) does not end; end it by hand")
