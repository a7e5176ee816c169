"""How many streams run at once, per model and in all."""

from __future__ import annotations

import asyncio

from llm.simulator.activity import Activity
from llm.simulator.profiles import ServerProfile
from llm.simulator.residents import SimulatedModel


class ModelSlots:
    """First come, first served among the models that have a slot free."""

    def __init__(self, profile: ServerProfile, activity: Activity) -> None:
        self._profile = profile
        self._activity = activity
        self._queued: dict[SimulatedModel, None] = {}
        self._number = 0
        self.active = 0
        self.waiting = 0

    async def take(self, resident: SimulatedModel) -> None:
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

    def give_back(self, resident: SimulatedModel) -> None:
        """Release a slot of `resident` to the next waiting request."""
        resident.active -= 1
        self.active -= 1
        self._activity.stream(resident.model.name, -1)
        self._serve_next()

    def _serve_next(self) -> None:
        while ready := [one for one in self._queued if self._has_room(one)]:
            resident = min(ready, key=lambda one: one.queue[0][0])
            _, turn = resident.queue.popleft()
            self._left_queue(resident)
            if not turn.done():  # cancelled when its client disconnects
                self._hold(resident)
                turn.set_result(None)

    def _has_room(self, resident: SimulatedModel) -> bool:
        limit = self._profile.slots if resident.model.slots is None else resident.model.slots
        total = self._profile.server_slots
        return (not limit or resident.active < limit) and (not total or self.active < total)

    def _hold(self, resident: SimulatedModel) -> None:
        resident.active += 1
        self.active += 1
        self._activity.stream(resident.model.name, 1)

    def _left_queue(self, resident: SimulatedModel) -> None:
        self.waiting -= 1
        if not resident.queue:
            self._queued.pop(resident, None)
