"""Ending processes that are not our children."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterable

import psutil

POLL_SECONDS = 0.02


def end(processes: Iterable[psutil.Process], how: signal.Signals, *, seconds: float) -> None:
    """Ask with ``how``, and insist with SIGKILL on those that are still there after ``seconds``."""
    left = list(processes)
    for wish in (how, signal.SIGKILL):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(wish)
        left = still_alive(left, seconds=seconds)
        if not left:
            return


def still_alive(processes: Iterable[psutil.Process], *, seconds: float) -> list[psutil.Process]:
    """The processes that still run after at most ``seconds``. A zombie counts as ended, because a
    container may never reap it."""
    deadline = time.monotonic() + seconds
    left = [process for process in processes if runs(process)]
    while left and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        left = [process for process in left if runs(process)]
    return left


def runs(process: psutil.Process) -> bool:
    """Whether it has not ended; a zombie has."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
