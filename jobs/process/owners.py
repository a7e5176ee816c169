"""Names of processes that no later process can repeat, and whether such a process still lives.

The start is in clock ticks since boot where the system knows them (Linux): its wall clock may be
set while a process runs, and the start would seem to move with it.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil

_START_FIELD = 19
"""Of /proc/<pid>/stat, counted from the state that follows the command in brackets."""


def process_owner() -> str:
    """This process as ``host/pid/start``."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def process_is_gone(owner: str) -> bool:
    """Whether ``owner`` is a process of this host that no longer runs; False when in doubt."""
    parts = owner.rsplit("/", 2)
    if len(parts) != 3 or parts[0] != socket.gethostname() or not parts[1].isdigit():
        return False
    try:
        process = psutil.Process(int(parts[1]))
        return _started(process.pid) != parts[2] or process.status() == psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return True
    except (psutil.AccessDenied, PermissionError):
        return False


def _started(pid: int) -> str:
    if not Path("/proc/self/stat").exists():
        return f"{psutil.Process(pid).create_time():.2f}"
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[_START_FIELD]
