"""Names of processes that no later process can repeat, and whether such a process still lives.

The start is in clock ticks since boot where the system knows them (Linux): its wall clock may be
set while a process runs, and the start would seem to move with it.
"""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from pathlib import Path

import psutil

_START_FIELD = 19
"""Of /proc/<pid>/stat, counted from the state that follows the command in brackets."""


_HOST = "{name}:{boot}:{namespace}"


def process_owner() -> str:
    """This process as ``host:boot:namespace/pid/start``."""
    return f"{_host()}/{os.getpid()}/{_started(os.getpid())}"


def process_is_gone(owner: str) -> bool:
    """Whether ``owner`` is a process of this machine that no longer runs; False when in doubt.

    A pid says nothing in another pid namespace (a container with the same host name), nor after
    another boot: those leases run out by themselves.
    """
    parts = owner.rsplit("/", 2)
    if len(parts) != 3 or parts[0] != _host() or not parts[1].isdigit():
        return False
    try:
        process = psutil.Process(int(parts[1]))
        return _started(process.pid) != parts[2] or process.status() == psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return True
    except (psutil.AccessDenied, PermissionError):
        return False


def process_is_here(owner: str) -> bool:
    """Whether ``owner`` is a process of this machine that runs, or stands still."""
    return owner.rsplit("/", 2)[0] == _host() and not process_is_gone(owner)


@lru_cache(maxsize=1)
def _host() -> str:
    return _HOST.format(name=socket.gethostname(), boot=_boot(), namespace=_pid_namespace())


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return f"{psutil.boot_time():.0f}"


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return "0"


def _started(pid: int) -> str:
    if not Path("/proc/self/stat").exists():
        return f"{psutil.Process(pid).create_time():.2f}"
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[_START_FIELD]
