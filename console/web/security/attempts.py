"""Wrong passwords are counted: too many from one address, or from all, and the door stays shut."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 60.0
BY_ADDRESS = 5
BY_EVERYBODY = 30


class LoginAttempts:
    """Failures of the last minute, in the login form and in bearer headers. Safe for threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: deque[tuple[float, str]] = deque()

    def wait_seconds(self, address: str) -> int:
        """0 when ``address`` may try now, else how long it has to wait, rounded up."""
        with self._lock:
            now = self._forget_old()
            mine = [at for at, who in self._failures if who == address]
            waits = [0.0]
            if len(mine) >= BY_ADDRESS:
                waits.append(mine[-BY_ADDRESS] + WINDOW_SECONDS - now)
            if len(self._failures) >= BY_EVERYBODY:
                waits.append(self._failures[-BY_EVERYBODY][0] + WINDOW_SECONDS - now)
            return math.ceil(max(waits))

    def failed(self, address: str) -> None:
        with self._lock:
            self._forget_old()
            self._failures.append((self._clock(), address))

    def _forget_old(self) -> float:
        now = self._clock()
        while self._failures and self._failures[0][0] <= now - WINDOW_SECONDS:
            self._failures.popleft()
        return now
