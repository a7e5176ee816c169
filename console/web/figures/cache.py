"""Caches a computed value, longer if it was expensive."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)

COST_FACTOR = 200.0
LONGEST_SECONDS = 10.0
FORGOTTEN = float("-inf")
"""The time until which a value is fresh that was forgotten, or never computed."""


class Cached(Generic[T]):
    """Calls ``compute`` at most once in ``seconds``, and for at most a two hundredth of the time,
    where that makes the value no older than ``longest_seconds``: on a busy machine all takes long.

    One thread computes while the others get the previous value. Safe for threads. An exception of
    ``compute`` reaches the caller that ran it and is not cached.
    """

    def __init__(
        self,
        compute: Callable[[], T],
        *,
        seconds: float = 1.0,
        longest_seconds: float = LONGEST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._compute = compute
        self._seconds = seconds
        self._longest_seconds = longest_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._value: T | None = None
        self._last_cost = 0.0
        self._fresh_until = FORGOTTEN
        self._forgotten = 0

    def get(self, *, stale_seconds: float = 0.0) -> T:
        """The value; one that ran out less than ``stale_seconds`` ago, while a thread renews it."""
        ran_out = self._clock() - self._fresh_until
        if 0 <= ran_out < stale_seconds:
            value = self._value
            self._renew_in_background()
            return value  # type: ignore[return-value]
        if self._clock() < self._fresh_until:
            return self._value  # type: ignore[return-value]
        if not self._lock.acquire(blocking=self._fresh_until == FORGOTTEN):
            return self._value  # type: ignore[return-value]
        try:
            if self._clock() >= self._fresh_until:
                self._refresh()
        finally:
            self._lock.release()
        return self._value  # type: ignore[return-value]

    def forget(self) -> None:
        """The next ``get`` computes anew; what is being computed now counts as old."""
        self._forgotten += 1
        self._fresh_until = FORGOTTEN

    def _renew_in_background(self) -> None:
        if self._lock.locked():
            return
        threading.Thread(target=self._renew, name="renew", daemon=True).start()

    def _renew(self) -> None:
        try:
            self.get()
        except Exception:
            # A later caller, for whom the old value is too old, gets the exception itself.
            logger.warning("not_renewed", exc_info=True)

    def _refresh(self) -> None:
        began, forgotten = self._clock(), self._forgotten
        self._value = self._compute()
        cost = self._clock() - began
        # The smaller of two: one slow look may be the fault of a busy machine.
        usual, self._last_cost = min(cost, self._last_cost), cost
        kept = min(self._longest_seconds, max(self._seconds, usual * COST_FACTOR))
        self._fresh_until = self._clock() + kept
        # Last, so that whatever was forgotten meanwhile stays forgotten.
        if forgotten != self._forgotten:
            self._fresh_until = FORGOTTEN
