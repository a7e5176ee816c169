"""Detects an engine that is dead, or alive without progress."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from llm.mlx_server.engine import Engine
from llm.mlx_server.settings import ServerSettings

logger = logging.getLogger(__name__)

CHECKS_PER_PERIOD = 10
LONGEST_PAUSE_SECONDS = 1.0


class Watchdog:
    """Compares the engine's last progress with the clock while it has work.

    Progress is any decoded step, prefilled chunk or loaded chunk. Without any, ``stalled`` is true
    after ``watchdog_seconds``, and ``give_up`` is called after ``watchdog_exit_seconds``: a hang
    inside the GPU never ends on its own, and the supervisor can restart the process.
    """

    def __init__(
        self, engine: Engine, settings: ServerSettings, *, give_up: Callable[[str], None]
    ) -> None:
        self.stalled = False
        self._engine = engine
        self._stall_seconds = settings.watchdog_seconds
        self._exit_seconds = settings.watchdog_exit_seconds
        self._give_up = give_up

    @property
    def still_seconds(self) -> float:
        """How long the engine has had work without progress."""
        return time.monotonic() - self._engine.progress_at if self._engine.busy else 0.0

    async def watch(self) -> None:
        """Check until cancelled."""
        pause = min(LONGEST_PAUSE_SECONDS, self._stall_seconds / CHECKS_PER_PERIOD)
        while True:
            await asyncio.sleep(pause)
            self._check()

    def _check(self) -> None:
        still = self.still_seconds
        stalled = still >= self._stall_seconds
        if stalled != self.stalled:
            self.stalled = stalled
            logger.log(
                logging.ERROR if stalled else logging.INFO,
                "generation_%s still_seconds=%.1f",
                "stalled" if stalled else "moves_again",
                still,
            )
        if self._exit_seconds and still >= self._exit_seconds:
            self._give_up(f"generation has stood still for {still:.0f} s")
