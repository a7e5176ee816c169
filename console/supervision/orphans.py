"""Programs that outlived a killed supervisord: they are ended before a new one starts."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import psutil

from console.services.leftovers import clear_leftovers
from console.services.processes import end
from console.services.redis import end_earlier_redis

LEAVE_SECONDS = 5.0


def end_orphans(home: Path, socket: Path) -> int:
    """End what an earlier supervisord of ``home`` left, and itself if it hangs; how many.

    A supervisord and its programs know the address of its socket, which is how they are found,
    also where the home was deleted while they ran and a new one stands at its path. The databases
    hide their environment; they are known by their lock files.
    """
    found = _processes_of(socket)
    end(found, signal.SIGTERM, seconds=LEAVE_SECONDS)
    data = home / "postgres" / "data"
    if data.is_dir():
        clear_leftovers(data.resolve())
    end_earlier_redis((home / "redis").resolve())
    for stale in (socket, home / "run" / "supervisord.pid"):
        with contextlib.suppress(OSError):  # read-only: then no new supervisord will want it
            stale.unlink(missing_ok=True)
    return len(found)


def supervisord_pid(home: Path) -> int | None:
    """The process id on record, if that process lives and is a supervisord."""
    try:
        pid = int((home / "run" / "supervisord.pid").read_text())
        command = " ".join(psutil.Process(pid).cmdline())
    except (OSError, ValueError, psutil.Error):
        return None
    return pid if "supervisord" in command else None


def _processes_of(socket: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environ = process.environ()
            is_program = environ.get("SUPERVISOR_SERVER_URL") == f"unix://{socket}"
            is_supervisord = environ.get("KOS_SUPERVISOR_SOCKET") == str(socket) and any(
                "supervisord" in word for word in process.cmdline()[1:3]
            )
            if is_program or is_supervisord:
                found.append(process)
    return found
