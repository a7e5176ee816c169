"""Slots for requests of people: the slots of tasks, asked for in the interactive class.

Inside this process callers take turns (:mod:`gateway.fair_queue`); of each server only the
request whose turn it is asks Redis. A caller that hangs up leaves the line at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn

import anyio
import anyio.to_thread
import redis

from gateway.background import BackgroundWork
from gateway.errors import NoCapacity
from gateway.fair_queue import FairQueue
from gateway.names import Place
from jobs.admission.limits import Limits, acquire
from jobs.admission.slots import INTERACTIVE_PREFIX, Slots

logger = logging.getLogger(__name__)

RENEW_SECONDS = 1.0
POLL_SECONDS = 0.5
NOTE_SECONDS = 3.0
ASKED_AT_ONCE = 16
"""A crowd of requests that finds slots free shares the way to Redis."""
MAX_WAITING = 200
"""More requests than this in one server's line are turned away with 429."""
FIRST_GUESS_SECONDS = 10.0
"""How long a call is taken to last before one has ended."""

OnWait = Callable[[int, float], Awaitable[None]]
"""Called while a request waits, with its place in the line and the seconds it will take."""


@dataclass(slots=True)
class Slot:
    """A granted slot. ``lost`` is set if Redis granted it to another call: this call must stop."""

    backend: str
    holder: str
    waited_seconds: float
    lost: asyncio.Event


class FirstSlot:
    """A slot that was free when the servers were looked at; nobody waited for it."""

    def __init__(self, slots: Slots, limits: Limits) -> None:
        self._slots = slots
        self._limits = limits
        self._place: Place | None = None
        self.holder = _new_holder()

    def take(self, place: Place) -> None:
        """Ask for it, from any thread; without a slot the request gets in line. Never raises."""
        try:
            decision = acquire(
                self._slots, self._limits, place.backend, self.holder,
                heavy=place.heavy, wait=False,
            )  # fmt: skip
        except redis.RedisError as error:
            logger.warning("slot_not_asked_for backend=%s error=%s", place.backend, error)
            return
        self._place = place if decision.granted else None

    def hand_over(self, place: Place) -> bool:
        """True if this is a slot of ``place``. From then on the caller must release it."""
        if self._place != place:
            return False
        self._place = None
        return True

    @property
    def unused(self) -> Place | None:
        return self._place


@dataclass(eq=False, slots=True)
class _Waiter:
    holder: str
    heavy: bool
    admitted: asyncio.Event = field(default_factory=asyncio.Event)


class _Line:
    """The waiting requests of one server, and the asyncio task that acquires slots for them."""

    def __init__(self) -> None:
        self.queue: FairQueue[_Waiter] = FairQueue()
        self.freed = asyncio.Event()
        self.asking: asyncio.Task[None] | None = None
        self.call_seconds = FIRST_GUESS_SECONDS

    def ended(self, seconds: float) -> None:
        self.call_seconds += 0.2 * (seconds - self.call_seconds)


class InteractiveSlots(BackgroundWork):
    """For one event loop. ``start`` keeps granted slots alive until ``stop``."""

    def __init__(self, slots: Slots, limits: Limits, *, wait_seconds: float) -> None:
        self._slots = slots
        self._limits = limits
        self._wait_seconds = wait_seconds
        self._lines: dict[tuple[str, bool], _Line] = {}
        self._held: dict[str, Slot] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        super().start()
        self._loop = asyncio.get_running_loop()

    def freed_from_thread(self, backend: str) -> None:
        """What the thread that hears of freed slots calls."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.freed, backend)

    def freed(self, backend: str) -> None:
        """A slot of ``backend`` was released: try to acquire it now."""
        for (name, _), line in self._lines.items():
            if name == backend:
                line.freed.set()

    def waiting(self, backend: str) -> int:
        """How many requests wait for a slot of ``backend`` here."""
        return sum(len(line.queue) for (name, _), line in self._lines.items() if name == backend)

    @asynccontextmanager
    async def first_slot(self) -> AsyncIterator[FirstSlot]:
        """It is given back at the end if no place used it."""
        first = FirstSlot(self._slots, self._limits)
        try:
            yield first
        finally:
            if first.unused is not None:
                with anyio.CancelScope(shield=True):
                    await self._give_back(first.unused.backend, first.holder)

    @asynccontextmanager
    async def slot(
        self, place: Place, caller: str, on_wait: OnWait, first: FirstSlot
    ) -> AsyncIterator[Slot]:
        """Hold a slot of the place's server: ``first`` if it belongs to that server, else the next
        one in turn. Raises NoCapacity where too many requests wait already."""
        line = self._lines.setdefault((place.backend, place.heavy), _Line())
        if len(line.queue) >= MAX_WAITING:
            raise NoCapacity(
                f"{len(line.queue)} requests wait for {place.backend} already",
                retry_after_seconds=self._expected(line, len(line.queue), place.backend),
            )
        began = time.monotonic()
        if first.hand_over(place):
            slot = self._hold(place, first.holder)
        else:
            slot = await self._wait(line, place, caller, on_wait)
        slot.waited_seconds = time.monotonic() - began
        admitted = time.monotonic()
        try:
            yield slot
        finally:
            self._held.pop(slot.holder, None)
            line.ended(time.monotonic() - admitted)
            with anyio.CancelScope(shield=True):
                await self._give_back(place.backend, slot.holder)

    async def _wait(self, line: _Line, place: Place, caller: str, on_wait: OnWait) -> Slot:
        waiter = _Waiter(holder=_new_holder(), heavy=place.heavy)
        line.queue.put(caller, waiter)
        if line.asking is None or line.asking.done():
            line.asking = asyncio.create_task(self._ask_on(line, place.backend))
        try:
            with anyio.move_on_after(self._wait_seconds):
                await self._until_admitted(line, place, caller, waiter, on_wait)
            if not waiter.admitted.is_set():
                self._overloaded(line, place, caller, waiter)
        except BaseException:
            line.queue.remove(caller, waiter)
            with anyio.CancelScope(shield=True):
                await self._give_back(place.backend, waiter.holder)
            raise
        return self._hold(place, waiter.holder)

    def _hold(self, place: Place, holder: str) -> Slot:
        slot = Slot(place.backend, holder, 0.0, asyncio.Event())
        self._held[holder] = slot
        return slot

    async def _until_admitted(
        self, line: _Line, place: Place, caller: str, waiter: _Waiter, on_wait: OnWait
    ) -> None:
        """Report the caller's position every few seconds."""
        while True:
            with anyio.move_on_after(NOTE_SECONDS):
                await waiter.admitted.wait()
                return
            position = line.queue.position(caller, waiter)
            await on_wait(position, self._expected(line, position, place.backend))

    def _overloaded(self, line: _Line, place: Place, caller: str, waiter: _Waiter) -> NoReturn:
        position = line.queue.position(caller, waiter)
        raise NoCapacity(
            f"no slot of {place.backend} was free for {self._wait_seconds:g} s",
            retry_after_seconds=self._expected(line, position, place.backend),
        )

    def _expected(self, line: _Line, position: int, backend: str) -> int:
        """Seconds until ``position`` calls before this one have ended, rounded up."""
        slots = max(1, self._limits.of(backend).slots)
        return max(1, round((position + 1) * line.call_seconds / slots))

    async def _ask_on(self, line: _Line, backend: str) -> None:
        while waiters := line.queue.upcoming(ASKED_AT_ONCE):
            line.freed.clear()
            granted = await self._ask(backend, [waiter for _, waiter in waiters])
            for caller, waiter in waiters[:granted]:
                if line.queue.take(caller, waiter):
                    waiter.admitted.set()
                else:
                    # The caller left while Redis granted its slot.
                    await self._give_back(backend, waiter.holder)
            if granted < len(waiters):
                with anyio.move_on_after(POLL_SECONDS):
                    await line.freed.wait()

    async def _ask(self, backend: str, waiters: Sequence[_Waiter]) -> int:
        """How many of ``waiters``, from the first on, were granted a slot."""
        granted = 0

        def ask() -> None:
            nonlocal granted
            for waiter in waiters:
                decision = acquire(
                    self._slots, self._limits, backend, waiter.holder, heavy=waiter.heavy
                )
                if not decision.granted:
                    return
                granted += 1

        try:
            await anyio.to_thread.run_sync(ask)
        except redis.RedisError as error:
            logger.warning("slot_not_asked_for backend=%s error=%s", backend, error)
        return granted

    async def _give_back(self, backend: str, holder: str) -> None:
        try:
            await anyio.to_thread.run_sync(self._slots.release, backend, holder)
        except redis.RedisError as error:
            logger.warning("slot_not_released holder=%s error=%s", holder, error)
        self.freed(backend)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            if not self._held:
                continue
            try:
                lost = await anyio.to_thread.run_sync(self._slots.renew)
            except redis.RedisError as error:
                logger.warning("slots_not_renewed error=%s", error)
                continue
            for holder in lost:
                if holder in self._held:
                    self._held[holder].lost.set()


def _new_holder() -> str:
    return f"{INTERACTIVE_PREFIX}{uuid.uuid4().hex}"
