"""The time for decisions: that of Postgres, whatever the clock of this host says."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from models.clock import server_clock

JUMP_SECONDS = 5.0


def utc_now() -> datetime:
    return server_clock.utc_now()


def epoch_seconds() -> float:
    """:func:`utc_now` as what is written to Redis."""
    return server_clock.epoch_seconds()


def passed(seconds: float) -> Callable[[], bool]:
    """A function that tells whether ``seconds`` have passed since this call."""
    ends = time.monotonic() + seconds
    return lambda: time.monotonic() >= ends


class ClockWatch:
    """Detects that the machine slept or that its clock was set: the wall clock and the monotonic
    clock advanced by different times since the last check."""

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._seen = (wall(), monotonic())
        self._jumped_at: float | None = None

    def jumped_within(self, seconds: float) -> bool:
        """Whether a jump was detected now or less than ``seconds`` ago."""
        wall, now = self._wall(), self._monotonic()
        seen_wall, seen_now = self._seen
        if abs((wall - seen_wall) - (now - seen_now)) > JUMP_SECONDS:
            self._jumped_at = now
        self._seen = (wall, now)
        return self._jumped_at is not None and now - self._jumped_at < seconds
