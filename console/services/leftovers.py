"""What a killed Postgres leaves: a lock file, orphaned sessions, or a postmaster nobody supervises.

Whoever starts Postgres for a data directory owns it, so what still runs there is ended first.
"""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import psutil

from console.services.errors import ServiceError
from console.services.processes import end, still_alive

FAST_SHUTDOWN_SECONDS = 15.0
ORPHANS_LEAVE_SECONDS = 5.0


def clear_leftovers(data: Path) -> None:
    """End what runs on ``data`` and drop a lock file whose owner is gone; raises ServiceError."""
    postmaster = _postmaster(data)
    if postmaster is not None:
        end([postmaster], signal.SIGINT, seconds=FAST_SHUTDOWN_SECONDS)
    orphans = still_alive(_processes_in(data), seconds=ORPHANS_LEAVE_SECONDS)
    end(orphans, signal.SIGKILL, seconds=ORPHANS_LEAVE_SECONDS)
    stubborn = _processes_in(data)
    if stubborn:
        raise ServiceError(
            f"process {stubborn[0].pid} of an earlier Postgres does not end; end it by hand"
        )
    (data / "postmaster.pid").unlink(missing_ok=True)


def _postmaster(data: Path) -> psutil.Process | None:
    """The live postmaster of ``data``; a recycled process id is not taken for it."""
    try:
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        process = psutil.Process(pid)
        return process if Path(process.cwd()) == data.resolve() else None
    except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def _processes_in(data: Path) -> list[psutil.Process]:
    """Every server process keeps the data directory as its working directory."""
    found = []
    for process in psutil.process_iter(["name"]):
        if not (process.info["name"] or "").startswith("postgres"):
            continue
        with contextlib.suppress(psutil.Error):
            ended = process.status() == psutil.STATUS_ZOMBIE
            if not ended and Path(process.cwd()) == data.resolve():
                found.append(process)
    return found
