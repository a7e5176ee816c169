"""A value that is dear to compute, kept for as long as it was dear."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

COST_FACTOR = 20.0
LONGEST_SECONDS = 60.0


class Cached(Generic[T]):
    """``compute``, asked at most once in ``seconds``, and for at most a twentieth of the time.

    One thread computes; the others get the value that stands meanwhile. Safe for threads. What
    ``compute`` raises is raised to the caller who asked first, and nothing is kept of it.
    """

    def __init__(
        self,
        compute: Callable[[], T],
        *,
        seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._compute = compute
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._value: T | None = None
        self._has_value = False
        self._fresh_until = 0.0

    def get(self) -> T:
        if self._has_value and self._clock() < self._fresh_until:
            return self._value  # type: ignore[return-value]
        if not self._lock.acquire(blocking=not self._has_value):
            return self._value  # type: ignore[return-value]
        try:
            if not self._has_value or self._clock() >= self._fresh_until:
                self._refresh()
        finally:
            self._lock.release()
        return self._value  # type: ignore[return-value]

    def forget(self) -> None:
        """The next ``get`` computes anew."""
        self._fresh_until = 0.0

    def _refresh(self) -> None:
        began = self._clock()
        self._value = self._compute()
        cost = self._clock() - began
        kept = min(LONGEST_SECONDS, max(self._seconds, cost * COST_FACTOR))
        self._has_value = True
        self._fresh_until = self._clock() + kept
