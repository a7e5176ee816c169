"""The time of Postgres, which every host shares.

Leases, retries and heartbeats of all hosts are compared with each other, but the clocks of hosts
differ. So a process takes its time from the server: every new connection, and every ping of an
idle one, brings it along. Before the first connection it is the time of this host.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

NOW = "extract(epoch FROM clock_timestamp())::float8"
"""What to ask the server for, and to tell :meth:`ServerClock.learn`."""

SLOW_SECONDS = 1.0
"""An answer that took longer does not replace a time that is known: half of that is its error."""


def since_boot() -> float:
    """Seconds that also pass while the machine sleeps, and that nobody can set."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class ServerClock:
    """Follows the clock of a server between its answers."""

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        since_boot: Callable[[], float] = since_boot,
    ) -> None:
        self._wall = wall
        self.since_boot = since_boot
        self._boot_at: float | None = None
        """When this machine booted, by the clock of the server."""

    def learn(self, theirs: float, *, asked_at: float) -> None:
        """``theirs`` is what the server answered to a question asked at ``asked_at``, by
        :attr:`since_boot`."""
        answered_at = self.since_boot()
        if self._boot_at is None or answered_at - asked_at < SLOW_SECONDS:
            self._boot_at = theirs - (asked_at + answered_at) / 2

    def epoch_seconds(self) -> float:
        return self._wall() if self._boot_at is None else self._boot_at + self.since_boot()

    def utc_now(self) -> datetime:
        return datetime.fromtimestamp(self.epoch_seconds(), UTC)


server_clock = ServerClock()
