"""Work of the gateway beside its requests."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod


class BackgroundWork(ABC):
    """Runs ``_run`` on the event loop from ``start`` to ``stop``."""

    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    @abstractmethod
    async def _run(self) -> None: ...
