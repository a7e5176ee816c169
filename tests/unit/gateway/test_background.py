"""Work beside the requests goes on after a round that failed."""

from __future__ import annotations

import asyncio

import pytest

from gateway import background
from gateway.background import BackgroundWork


class FailsOnce(BackgroundWork):
    def __init__(self) -> None:
        self.rounds = 0
        self.works_again = asyncio.Event()

    async def _run(self) -> None:
        self.rounds += 1
        if self.rounds == 1:
            raise ValueError("one bad row")
        self.works_again.set()
        await asyncio.Event().wait()


def test_a_failed_round_ends_no_background_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "REST_SECONDS", 0.0)

    async def run() -> None:
        work = FailsOnce()
        work.start()
        await asyncio.wait_for(work.works_again.wait(), 30)
        await work.stop()

    asyncio.run(run())
