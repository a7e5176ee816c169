"""Which models are resident and which requests may use them; loads and evicts models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from llm.simulator.activity import Activity
from llm.simulator.prefix_cache import PrefixCache, SharedCache, SlotCaches
from llm.simulator.profiles import ModelProfile, ServerProfile
from llm.simulator.residents import LoadOptions, LoadOrder, QueueFullError, SimulatedModel, Ticket
from llm.simulator.slots import ModelSlots


class SimulatedEngine:
    """The model part of a server. A model is loaded at its first request. If there is no room, the
    least recently used idle model is evicted; if none is idle, one is drained."""

    def __init__(self, profile: ServerProfile, activity: Activity, *, time_scale: float) -> None:
        self.profile = profile
        self._activity = activity
        self._time_scale = time_scale
        self._slots = ModelSlots(profile, activity)
        self._residents: dict[str, SimulatedModel] = {}
        self._pending: list[Ticket] = []
        self._fairness_timer: asyncio.TimerHandle | None = None

    @property
    def residents(self) -> list[SimulatedModel]:
        """Loaded models and those being loaded, in the order of loading."""
        return list(self._residents.values())

    @property
    def waiting(self) -> int:
        """Requests that wait for a model or for a slot."""
        return (
            len(self._pending)
            + self._slots.waiting
            + sum(len(resident.arrivals) for resident in self._residents.values())
        )

    @property
    def active(self) -> int:
        """Requests that hold a slot."""
        return self._slots.active

    @asynccontextmanager
    async def bound(
        self, order: LoadOrder, *, keep_alive_seconds: float | None = None
    ) -> AsyncIterator[SimulatedModel]:
        """The model of `order`, resident as long as the context lasts.

        Raises QueueFullError, and LoadFailedError when the order requires a failed load.
        """
        resident = await self._bind(order)
        if keep_alive_seconds is not None:
            resident.keep_alive_seconds = keep_alive_seconds
        try:
            yield resident
        finally:
            self._unbind(resident)

    @asynccontextmanager
    async def slot(self, resident: SimulatedModel) -> AsyncIterator[None]:
        """One of the model's slots, first come first served."""
        await self._slots.take(resident)
        try:
            yield
        finally:
            self._slots.give_back(resident)

    def needs_load(self, model: ModelProfile, options: LoadOptions) -> bool:
        """True when a request with `options` would load or reload the model."""
        resident = self._residents.get(model.runner)
        return resident is None or not resident.serves(options)

    def make_resident(self, model: ModelProfile, options: LoadOptions) -> None:
        """Load a model without delay, as a server that loads before it listens."""
        self._residents[model.runner] = self._newcomer(model, options)

    def unload(self, model: ModelProfile) -> bool:
        """Unload a model once nothing uses it; False when it is not resident."""
        resident = self._residents.get(model.runner)
        if resident is not None:
            self._drain(resident, is_eviction=False)
            self._schedule()
        return resident is not None

    def unload_idle(self) -> None:
        """Unload every idle model without counting it."""
        for resident in self.residents:
            if resident.is_idle:
                self._remove(resident)

    async def _bind(self, order: LoadOrder) -> SimulatedModel:
        loop = asyncio.get_running_loop()
        ticket = Ticket(order, loop.create_future(), loop.time())
        if self._is_full(order):
            raise QueueFullError(self.profile.retry_after_seconds)
        self._pending.append(ticket)
        self._schedule()
        try:
            return await ticket.placed
        except asyncio.CancelledError:
            self._forget(ticket)
            raise

    def _is_full(self, order: LoadOrder) -> bool:
        limit = self.profile.queue_limit
        if not limit:
            return False
        if self.profile.queue_covers == "all":
            return self.waiting >= limit
        return self.needs_load(order.model, order.options) and len(self._pending) >= limit

    def _forget(self, ticket: Ticket) -> None:
        if ticket in self._pending:
            self._pending.remove(ticket)
        elif ticket.resident is not None:
            if ticket in ticket.resident.arrivals:
                ticket.resident.arrivals.remove(ticket)
            self._unbind(ticket.resident)

    def _schedule(self) -> None:
        left: list[Ticket] = []
        pending, self._pending = self._pending, []
        for ticket in pending:
            if ticket.placed.done():  # Its client has disconnected.
                continue
            is_blocked = self.profile.strict_order and left
            if is_blocked or not self._place(ticket):
                left.append(ticket)
        self._pending = left + self._pending

    def _place(self, ticket: Ticket) -> bool:
        name = ticket.order.model.runner
        resident = self._residents.get(name)
        if resident is not None and resident.serves(ticket.order.options):
            self._attach(ticket, resident)
            return True
        if resident is not None:
            self._drain(resident, is_eviction=False)
            if name in self._residents:
                return False
        if any(other.is_loading for other in self._residents.values()):
            return False
        if not self._make_room(ticket):
            return False
        self._load(ticket)
        return True

    def _attach(self, ticket: Ticket, resident: SimulatedModel) -> None:
        resident.refs += 1
        resident.last_used = asyncio.get_running_loop().time()
        resident.stop_expiry()
        ticket.resident = resident
        if resident.is_loading:
            resident.arrivals.append(ticket)
        else:
            ticket.succeed(resident)

    def _make_room(self, ticket: Ticket) -> bool:
        while not self._fits(ticket.order.model):
            idle = [resident for resident in self.residents if resident.is_idle]
            if idle:
                self._drain(min(idle, key=lambda one: one.last_used), is_eviction=True)
                continue
            if not any(resident.is_draining for resident in self.residents):
                self._pick_victim(ticket)
            return False
        return True

    def _fits(self, model: ModelProfile) -> bool:
        count, memory = self.profile.max_resident_models, self.profile.memory_bytes
        if count and len(self._residents) >= count:
            return False
        used = sum(resident.model.size_bytes for resident in self._residents.values())
        return not memory or not used or used + model.size_bytes <= memory

    def _pick_victim(self, ticket: Ticket) -> None:
        loop = asyncio.get_running_loop()
        left = self.profile.fairness_seconds / self._time_scale - (loop.time() - ticket.waits_since)
        if left <= 0:
            victim = min(self.residents, key=lambda resident: resident.last_used)
            self._drain(victim, is_eviction=True)
        elif self._fairness_timer is None:
            self._fairness_timer = loop.call_later(left + 0.001, self._fairness_is_due)

    def _fairness_is_due(self) -> None:
        self._fairness_timer = None
        self._schedule()

    def _load(self, ticket: Ticket) -> None:
        resident = self._newcomer(ticket.order.model, ticket.order.options)
        resident.is_loading = True
        self._residents[resident.model.runner] = resident
        self._attach(ticket, resident)
        loop = asyncio.get_running_loop()
        self._activity.occupy("load", 1)
        resident.loading = loop.call_later(
            ticket.order.seconds / self._time_scale, self._loaded, resident, ticket.order
        )

    def _newcomer(self, model: ModelProfile, options: LoadOptions) -> SimulatedModel:
        keep_alive = self.profile.keep_alive_seconds or float("inf")
        return SimulatedModel(
            model, options, keep_alive_seconds=keep_alive, prefixes=self._prefix_cache(model)
        )

    def _prefix_cache(self, model: ModelProfile) -> PrefixCache | None:
        profile = self.profile
        slots = profile.slots if model.slots is None else model.slots
        if profile.prefix_cache == "slots" and slots:
            return SlotCaches(slots)
        if profile.prefix_cache == "none":
            return None
        return SharedCache(profile.prefix_cache_bytes // max(1, model.kv_bytes_per_token))

    def _loaded(self, resident: SimulatedModel, order: LoadOrder) -> None:
        self._activity.occupy("load", -1)
        resident.is_loading = False
        resident.loading = None
        arrivals, resident.arrivals = resident.arrivals, []
        if order.error is not None:
            self._activity.count(resident.model.name, "load_failures")
            del self._residents[resident.model.runner]
            for ticket in arrivals:
                ticket.resident = None
                ticket.fail(order.error)
        else:
            self._activity.count(resident.model.name, "loads")
            for ticket in arrivals:
                ticket.succeed(resident)
        self._schedule()

    def _unbind(self, resident: SimulatedModel) -> None:
        resident.refs -= 1
        loop = asyncio.get_running_loop()
        resident.last_used = loop.time()
        if resident.refs == 0 and not resident.is_loading:
            if resident.is_draining or resident.keep_alive_seconds == 0:
                self._drain(resident, is_eviction=resident.is_eviction)
            elif resident.keep_alive_seconds != float("inf"):
                delay = resident.keep_alive_seconds / self._time_scale
                resident.expiry = loop.call_later(delay, self._expired, resident)
        elif resident.refs == 0 and self.profile.cancel_load_on_disconnect:
            self._cancel_load(resident)
        self._schedule()

    def _cancel_load(self, resident: SimulatedModel) -> None:
        assert resident.loading is not None
        resident.loading.cancel()
        self._activity.occupy("load", -1)
        del self._residents[resident.model.runner]

    def _expired(self, resident: SimulatedModel) -> None:
        resident.expiry = None
        self._drain(resident, is_eviction=False)
        self._schedule()

    def _drain(self, resident: SimulatedModel, *, is_eviction: bool) -> None:
        resident.is_draining = True
        resident.is_eviction = is_eviction
        if resident.is_idle:
            self._remove(resident)
            self._activity.count(resident.model.name, "unloads")
            if is_eviction:
                self._activity.count(resident.model.name, "evictions")

    def _remove(self, resident: SimulatedModel) -> None:
        resident.stop_expiry()
        self._residents.pop(resident.model.runner, None)
