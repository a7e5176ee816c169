"""Who waits for a slot of a server, and what becomes of a slot that nobody wants any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from gateway import interactive_slots
from gateway.errors import NoCapacity
from gateway.interactive_slots import FIRST_GUESS_SECONDS, FirstSlot, InteractiveSlots
from gateway.names import Place
from jobs.admission.slots import SlotDecision

PLACE = Place("mlx", "chat", heavy=False)
DEADLINE_SECONDS = 20.0
LIMITS: Any = SimpleNamespace(
    of=lambda backend: SimpleNamespace(slots=1, heavy=1),
    total=SimpleNamespace(slots=4),
    total_reserved=0,
    reserved=lambda backend: 0,
)


@dataclass
class OneSlot:
    """One slot of one server. ``asking`` is called while a request is on its way."""

    held: set[str] = field(default_factory=set)
    lost: tuple[str, ...] = ()
    asked: set[str] = field(default_factory=set)
    released: set[str] = field(default_factory=set)
    asking: Callable[[], None] = lambda: None

    def acquire(self, backend: str, holder: str, **more: Any) -> SlotDecision:
        self.asking()
        self.asked.add(holder)
        granted = not self.held - {holder}
        if granted:
            self.held.add(holder)
        return SlotDecision(granted, 1, len(self.held), 0, 1, "", None)

    def release(self, backend: str, holder: str) -> int:
        self.held.discard(holder)
        self.released.add(holder)
        return 1

    def renew(self) -> tuple[str, ...]:
        return self.lost


def of(slots: OneSlot, *, wait_seconds: float = DEADLINE_SECONDS) -> InteractiveSlots:
    return InteractiveSlots(cast(Any, slots), LIMITS, wait_seconds=wait_seconds)


async def hold(line: InteractiveSlots, *, until: asyncio.Event | None = None) -> None:
    """One request of a caller: it waits for a slot and keeps it."""

    async def note(position: int, seconds: float) -> None:
        return

    first = FirstSlot(cast(Any, None), LIMITS)
    async with line.slot(PLACE, "caller", note, first):
        if until is not None:
            await until.wait()


async def holds(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(DEADLINE_SECONDS):
        while not condition():
            await anyio.sleep(0.005)


@pytest.mark.parametrize("how", ["hangs up", "has waited long enough"])
def test_a_slot_granted_to_one_that_gave_up_meanwhile_is_given_back(how: str) -> None:
    on_the_way, answer = threading.Event(), threading.Event()

    def asking() -> None:
        on_the_way.set()
        assert answer.wait(DEADLINE_SECONDS)

    slots = OneSlot(asking=asking)
    line = of(slots, wait_seconds=DEADLINE_SECONDS if how == "hangs up" else 0.05)

    async def scenario() -> None:
        request = asyncio.create_task(hold(line))
        await holds(on_the_way.is_set)
        if how == "hangs up":
            request.cancel()
        with pytest.raises((asyncio.CancelledError, NoCapacity)):
            await request
        assert line.waiting("mlx") == 0
        answer.set()
        # The next in line gets it, so it was given back.
        with anyio.fail_after(DEADLINE_SECONDS):
            await hold(line)

    anyio.run(scenario)

    assert slots.held == set()


@pytest.mark.parametrize("how", ["hangs up", "has waited long enough"])
def test_one_that_gives_up_keeps_no_place_in_the_queue_of_all(how: str) -> None:
    slots = OneSlot(held={"somebody else"})
    line = of(slots, wait_seconds=DEADLINE_SECONDS if how == "hangs up" else 0.5)

    async def scenario() -> None:
        request = asyncio.create_task(hold(line))
        await holds(lambda: bool(slots.asked))
        if how == "hangs up":
            request.cancel()
        await asyncio.gather(request, return_exceptions=True)

    anyio.run(scenario)

    assert slots.asked
    assert slots.released >= slots.asked


def test_a_line_has_a_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interactive_slots, "MAX_WAITING", 2)
    line = of(OneSlot(held={"somebody else"}))

    async def scenario() -> None:
        waiting = [asyncio.create_task(hold(line)) for _ in range(2)]
        await holds(lambda: line.waiting("mlx") == 2)

        with pytest.raises(NoCapacity) as refused:
            await hold(line)

        assert refused.value.retry_after_seconds == 3 * FIRST_GUESS_SECONDS
        assert line.waiting("mlx") == 2
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    anyio.run(scenario)


def test_a_call_whose_slot_redis_gave_to_another_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interactive_slots, "RENEW_SECONDS", 0.01)
    slots = OneSlot()
    line = of(slots)

    async def scenario() -> None:
        line.start()
        done = asyncio.Event()
        request = asyncio.create_task(hold(line, until=done))
        await holds(lambda: len(line._held) == 1)
        (slot,) = line._held.values()
        assert not slot.lost.is_set()

        slots.lost = (slot.holder,)

        with anyio.fail_after(DEADLINE_SECONDS):
            await slot.lost.wait()
        done.set()
        await request
        await line.stop()

    anyio.run(scenario)
