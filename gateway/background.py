"""Work of the gateway beside its requests."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod

logger = logging.getLogger(__name__)
REST_SECONDS = 1.0


class BackgroundWork(ABC):
    """Runs ``_run`` on the event loop from ``start`` to ``stop``."""

    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_running())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _keep_running(self) -> None:
        """One failed round must not end the work: slots would lapse, and rows stay unwritten."""
        while True:
            try:
                await self._run()
            except Exception:
                logger.exception("background_broke work=%s", type(self).__name__)
                await asyncio.sleep(REST_SECONDS)

    @abstractmethod
    async def _run(self) -> None: ...
