"""Counts wrong tokens: after too many, further wrong ones must wait. A correct one never waits."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

WINDOW_SECONDS = 60.0
BY_ADDRESS = 5
BY_EVERYBODY = 30
MOST_KEPT = 1000


class LoginAttempts:
    """Wrong tokens of the last minute, in the login form and in bearer headers. Safe for threads.

    The same wrong token counts once per address, so a program with an old token does not lock out
    its address.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._guesses: OrderedDict[tuple[str, bytes], float] = OrderedDict()

    def failed(self, address: str, token: str) -> int:
        """Count a wrong ``token``; 0, or the seconds after which ``address`` may guess again."""
        guess = (address, hashlib.sha256(token.encode(errors="replace")).digest())
        with self._lock:
            now = self._forget_old()
            known = guess in self._guesses
            wait_seconds = 0 if known else self._wait_seconds(address, now)
            if not known and len(self._guesses) < MOST_KEPT:
                self._guesses[guess] = now
            return wait_seconds

    def _wait_seconds(self, address: str, now: float) -> int:
        times = list(self._guesses.values())
        mine = [at for (who, _), at in self._guesses.items() if who == address]
        waits = [0.0]
        if len(mine) >= BY_ADDRESS:
            waits.append(mine[-BY_ADDRESS] + WINDOW_SECONDS - now)
        if len(times) >= BY_EVERYBODY:
            waits.append(times[-BY_EVERYBODY] + WINDOW_SECONDS - now)
        return math.ceil(max(waits))

    def _forget_old(self) -> float:
        now = self._clock()
        while self._guesses and next(iter(self._guesses.values())) <= now - WINDOW_SECONDS:
            self._guesses.popitem(last=False)
        return now
