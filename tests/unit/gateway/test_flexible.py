"""Callers that wait for a task: one query for all, and none for those that have left."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from gateway import flexible
from gateway.flexible import FlexibleTaskFailed, FlexibleTasks
from models.chat_answer import ChatAnswer
from models.database import DatabaseUnavailable

ONE, OTHER = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2))
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Table:
    """The tasks that callers wait for; ``asked`` holds the ids of each look."""

    def __init__(self) -> None:
        self.status = {ONE: "in_progress", OTHER: "in_progress"}
        self.asked: list[list[str]] = []
        self.faults = 0

    def read(self, task_ids: list[str]) -> dict[str, ChatAnswer]:
        self.asked.append(task_ids)
        if self.faults:
            self.faults -= 1
            raise DatabaseUnavailable("away")
        return {
            one: ChatAnswer(one, self.status[one], "text", None, NOW, None, None, None, None, None)
            for one in task_ids
        }

    async def looks(self, *, at: list[str]) -> None:
        """Until a look that began after this call asked for ``at``."""
        seen = len(self.asked)
        async with asyncio.timeout(30):
            while at not in [sorted(ids) for ids in self.asked[seen:]]:
                await asyncio.sleep(0)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    made = Table()
    monkeypatch.setattr(flexible, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(flexible, "_read", made.read)
    return made


def test_a_caller_that_leaves_is_no_longer_looked_for_and_others_get_their_answers(
    table: Table,
) -> None:
    async def run() -> str | None:
        tasks = FlexibleTasks()
        tasks.start()
        leaves, stays = (asyncio.create_task(tasks.wait(one)) for one in (ONE, OTHER))
        await table.looks(at=[ONE, OTHER])
        leaves.cancel()
        await table.looks(at=[OTHER])
        table.status = dict.fromkeys(table.status, "completed")
        answer = await asyncio.wait_for(stays, 30)
        await tasks.stop()
        return answer.result

    assert asyncio.run(run()) == "text"


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_an_outage_of_postgres_ends_no_wait_and_a_task_without_answer_does(
    table: Table, status: str
) -> None:
    async def run() -> None:
        tasks = FlexibleTasks()
        tasks.start()
        waits = asyncio.create_task(tasks.wait(ONE))
        await table.looks(at=[ONE])
        table.faults = 2
        await table.looks(at=[ONE])
        table.status[ONE] = status
        with pytest.raises(FlexibleTaskFailed, match=status):
            await asyncio.wait_for(waits, 30)
        await tasks.stop()

    asyncio.run(run())
