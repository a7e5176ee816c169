"""Slots: how many streams run at once, per model and in all."""

from __future__ import annotations

import asyncio

from llm.simulator.ledger import Ledger
from llm.simulator.profiles import Profile
from llm.simulator.residents import Resident


class Slots:
    """First come, first served among the models that have a slot free."""

    def __init__(self, profile: Profile, ledger: Ledger) -> None:
        self._profile = profile
        self._ledger = ledger
        self._queued: dict[Resident, None] = {}
        self._number = 0
        self.active = 0
        self.waiting = 0

    async def take(self, resident: Resident) -> None:
        """Wait for a slot of `resident`."""
        if not resident.queue and self._has_room(resident):
            self._hold(resident)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._number += 1
        place = (self._number, turn)
        resident.queue.append(place)
        self._queued[resident] = None
        self.waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(resident)
            elif place in resident.queue:
                resident.queue.remove(place)
                self._left_queue(resident)
                self._serve_next()
            raise

    def give_back(self, resident: Resident) -> None:
        """Free a slot of `resident` and let the next in."""
        resident.active -= 1
        self.active -= 1
        self._ledger.stream(resident.model.name, -1)
        self._serve_next()

    def _serve_next(self) -> None:
        while ready := [one for one in self._queued if self._has_room(one)]:
            resident = min(ready, key=lambda one: one.queue[0][0])
            _, turn = resident.queue.popleft()
            self._left_queue(resident)
            if not turn.done():  # else its client has left meanwhile
                self._hold(resident)
                turn.set_result(None)

    def _has_room(self, resident: Resident) -> bool:
        limit = self._profile.slots if resident.model.slots is None else resident.model.slots
        total = self._profile.server_slots
        return (not limit or resident.active < limit) and (not total or self.active < total)

    def _hold(self, resident: Resident) -> None:
        resident.active += 1
        self.active += 1
        self._ledger.stream(resident.model.name, 1)

    def _left_queue(self, resident: Resident) -> None:
        self.waiting -= 1
        if not resident.queue:
            self._queued.pop(resident, None)
