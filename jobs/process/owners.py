"""Unique names of processes, and whether such a process still runs.

The start time is in clock ticks since boot where the system provides it (Linux): the wall clock may
be set while a process runs, and would change its start time.
"""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from pathlib import Path

import psutil

_START_FIELD = 19
"""Index in /proc/<pid>/stat, counted from the state that follows the command in parentheses."""


_HOST = "{name}:{boot}:{namespace}"


def process_owner() -> str:
    """This process as ``host:boot:namespace/pid/start``."""
    return f"{_host()}/{os.getpid()}/{_started(os.getpid())}"


def process_is_gone(owner: str) -> bool:
    """Whether ``owner`` is a process of this machine that no longer runs; False when in doubt.

    A pid means nothing in another pid namespace (a container with the same host name), nor after a
    reboot: those leases expire.
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
    """Whether ``owner`` is a process of this machine that exists, running or frozen."""
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
