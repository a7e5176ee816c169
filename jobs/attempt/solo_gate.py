"""Lets a task that is suspected of killing workers run alone in its process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

POLL_SECONDS = 0.5


class SoloGate:
    """Shared by all threads of a process. A suspect goes before tasks that wait to enter."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._suspects = 0

    @contextmanager
    def shared(self, *, wait_seconds: float) -> Iterator[bool]:
        """Enter together with others; False where a suspect held or awaited the process for the
        whole time."""
        with self._changed:
            is_inside = self._changed.wait_for(lambda: not self._suspects, timeout=wait_seconds)
            self._inside += is_inside
        try:
            yield is_inside
        finally:
            with self._changed:
                self._inside -= is_inside
                self._changed.notify_all()

    @contextmanager
    def alone(self, *, cancelled: Callable[[], bool]) -> Iterator[bool]:
        """For a thread inside ``shared``: wait until all others have left. False if ``cancelled``
        came first."""
        with self._changed:
            # From here on nobody enters by `shared`, so the wait below ends.
            self._suspects += 1
            self._inside -= 1
            while self._inside and not cancelled():
                self._changed.wait(POLL_SECONDS)
            alone = not self._inside
            self._inside += 1
        try:
            yield alone
        finally:
            with self._changed:
                self._suspects -= 1
                self._changed.notify_all()
