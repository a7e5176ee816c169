"""Keeps track of which models people want where, publishes it, and has tasks give way.

One demand a server: the model for which somebody waits longest, else the one used last, for as
long as its callers usually pause.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

import anyio
import anyio.to_thread
import redis

from gateway.access import AWAY_SECONDS
from gateway.background import BackgroundWork
from jobs.admission.interactive_demand import InteractiveDemand
from jobs.admission.slots import Slots
from jobs.policy.interactive import (
    Demand,
    admitted_models,
    keep_seconds,
    models_in_the_way,
    preempted_models,
)
from jobs.process.clock import utc_now
from models.database import DatabaseUnavailable

logger = logging.getLogger(__name__)
T = TypeVar("T")

LOOK_SECONDS = 1.0
PAUSES_KEPT = 50
DRAIN_LOOK_SECONDS = 0.2
INTERRUPTED_WITHIN_SECONDS = 5.0
"""Interrupted calls have ended by then; a server that still works on them is left to itself."""
HOLDS = timedelta(seconds=5)
"""What is published ends by itself after this. It is renewed every second, and withdrawn when its
time is over."""


@dataclass(slots=True)
class _ModelDemand:
    """One model at one server."""

    model: str
    num_ctx: int
    waiting: int = 0
    waiting_since: datetime | None = None
    running: int = 0
    ended_at: float | None = None
    load_seconds: float | None = None
    pauses: deque[float] = field(default_factory=lambda: deque(maxlen=PAUSES_KEPT))
    recalled: bool = False


class WantedModel:
    """One request. It waits until its first byte, whatever it waits for."""

    def __init__(self, wanted: _ModelDemand) -> None:
        self._wanted = wanted
        self._waits = True

    def loaded(self, seconds: float) -> None:
        """The model had to be loaded for this request."""
        self._wanted.load_seconds = seconds

    def answered(self) -> None:
        """The first byte came: the model is in memory and computes."""
        if self._waits:
            self._stop_waiting()
            self._wanted.running += 1

    def ended(self) -> None:
        if self._waits:
            self._stop_waiting()
        else:
            self._wanted.running -= 1
            self._wanted.ended_at = time.monotonic()

    def _stop_waiting(self) -> None:
        self._waits = False
        self._wanted.waiting -= 1
        if self._wanted.waiting == 0:
            self._wanted.waiting_since = None


@dataclass(frozen=True, slots=True)
class Habits:
    """What is known of earlier requests for a model at a server: the pauses between them, oldest
    first, and its last load."""

    pauses_seconds: Sequence[float] = ()
    load_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """Background calls of each model at a server, and how many models it holds."""

    by_model: Mapping[str, int]
    max_resident: int
    resident: tuple[str, ...]


class DemandKeeper(BackgroundWork):
    """Used from one event loop; what it reads and writes happens in threads.

    ``running`` looks at a server's background calls, ``habits`` reads the request log for a
    model at a server; ``request_plan`` wakes the planner.
    """

    def __init__(
        self,
        shared: InteractiveDemand,
        *,
        patience: timedelta,
        keep_at_most_seconds: float,
        slots: Slots,
        running: Callable[[str], Running],
        habits: Callable[[str, str], Habits],
        request_plan: Callable[[], object],
    ) -> None:
        self._shared = shared
        self._slots = slots
        self._patience = patience
        self._keep_at_most = keep_at_most_seconds
        self._running = running
        self._habits = habits
        self._request_plan = request_plan
        self._wanted: dict[tuple[str, str], _ModelDemand] = {}
        self._published: dict[str, Demand] = {}
        self._changed = asyncio.Event()
        self._away_until = float("-inf")

    async def stop(self) -> None:
        await super().stop()
        with anyio.move_on_after(2.0, shield=True):
            for backend in list(self._published):
                await anyio.to_thread.run_sync(self._withdraw, backend)

    @contextmanager
    def request(
        self, backend: str, model: str, num_ctx: int, *, resident: bool
    ) -> Iterator[WantedModel]:
        """A request for this model, from now to its end. Where the model is not in memory the
        planner hears of it at once."""
        wanted = self._wanted.setdefault((backend, model), _ModelDemand(model, num_ctx))
        wanted.num_ctx = num_ctx
        if wanted.ended_at is not None and wanted.running == 0 and wanted.waiting == 0:
            wanted.pauses.append(time.monotonic() - wanted.ended_at)
        wanted.waiting += 1
        wanted.waiting_since = wanted.waiting_since or utc_now()
        if not resident:
            self._changed.set()
        request = WantedModel(wanted)
        try:
            yield request
        finally:
            request.ended()

    def demanded(self, backend: str) -> Demand | None:
        """What people want of this server at the moment, or None."""
        return self._demands(utc_now()).get(backend)

    async def make_room(self, backend: str, model: str) -> None:
        """Wait until no task runs at the server whose model is in the way of this one.

        Tasks are interrupted after the patience. Where other people's model is loaded first, and
        where calls do not end, the server decides itself: nothing is awaited any more.
        """
        wait = self._patience.total_seconds() + INTERRUPTED_WITHIN_SECONDS
        with anyio.move_on_after(wait):
            while True:
                now = utc_now()
                demand = self._demands(now).get(backend)
                if demand is None or demand.model != model:
                    return
                if not await anyio.to_thread.run_sync(self._put_through, backend, demand, now):
                    return
                await anyio.sleep(DRAIN_LOOK_SECONDS)

    async def _run(self) -> None:
        while True:
            with anyio.move_on_after(LOOK_SECONDS):
                await self._changed.wait()
            self._changed.clear()
            try:
                await anyio.to_thread.run_sync(self._look, utc_now())
            except redis.RedisError as error:
                logger.warning("demand_not_published error=%s", error)

    def _look(self, now: datetime) -> None:
        wanted = self._demands(now)
        for backend, demand in wanted.items():
            self._put_through(backend, demand, now)
        for backend in set(self._published) - set(wanted):
            self._withdraw(backend)
            self._request_plan()
        self._recall()

    def _recall(self) -> None:
        """Read the habits of models that were first requested since this process began."""
        for (backend, model), wanted in list(self._wanted.items()):
            if wanted.recalled:
                continue
            habits = self._read(lambda: self._habits(backend, model))  # noqa: B023 - called at once
            if habits is None:
                return
            wanted.pauses = deque([*habits.pauses_seconds, *wanted.pauses], maxlen=PAUSES_KEPT)
            wanted.load_seconds = wanted.load_seconds or habits.load_seconds
            wanted.recalled = True

    def _demands(self, now: datetime) -> dict[str, Demand]:
        best: dict[str, tuple[tuple[bool, float], Demand]] = {}
        for (backend, _), wanted in list(self._wanted.items()):
            demand = self._demand(wanted, now)
            if demand is None:
                continue
            since = demand.waiting_since
            rank = (
                (True, -since.timestamp()) if since is not None else (False, wanted.ended_at or 0.0)
            )
            if backend not in best or rank > best[backend][0]:
                best[backend] = (rank, demand)
        return {backend: demand for backend, (_, demand) in best.items()}

    def _demand(self, wanted: _ModelDemand, now: datetime) -> Demand | None:
        if wanted.waiting or wanted.running:
            return Demand(wanted.model, wanted.num_ctx, now + HOLDS, wanted.waiting_since)
        if wanted.ended_at is None:
            return None
        keep = keep_seconds(
            list(wanted.pauses), load_seconds=wanted.load_seconds, most_seconds=self._keep_at_most
        )
        left = keep - (time.monotonic() - wanted.ended_at)
        return Demand(wanted.model, wanted.num_ctx, now + HOLDS) if left > 0 else None

    def _put_through(self, backend: str, demand: Demand, now: datetime) -> bool:
        """Publish the demand, and have tasks give way to it; whether some in its way still run."""
        before = self._published.get(backend)
        self._shared.publish(backend, demand)
        self._published[backend] = demand
        there = self._read(lambda: self._running(backend))
        if there is None:
            return False
        resident, most = demand.model in there.resident, there.max_resident
        admitted = admitted_models(demand, there.by_model, max_resident=most, resident=resident)
        if admitted is None:
            self._slots.admit_all(backend)
        else:
            self._slots.admit_only(backend, admitted, seconds=HOLDS.total_seconds())
        if before is None or before.model != demand.model:
            self._request_plan()
        if resident or demand.waiting_since is None:
            return False
        # Read again: a task may have started before new ones were stopped.
        there = self._read(lambda: self._running(backend))
        if there is None:
            return False
        self._preempt(backend, demand, there, now)
        return bool(models_in_the_way(demand, there.by_model, max_resident=most))

    def _read(self, read: Callable[[], T]) -> T | None:
        """None while Postgres is away: it is not asked again for some time, since requests wait."""
        if time.monotonic() < self._away_until:
            return None
        try:
            return read()
        except DatabaseUnavailable as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            logger.warning("tasks_not_seen error=%s", error)
            return None

    def _preempt(self, backend: str, demand: Demand, there: Running, now: datetime) -> None:
        models = preempted_models(
            demand,
            there.by_model,
            max_resident=there.max_resident,
            resident=demand.model in there.resident,
            patience=self._patience,
            now=now,
        )
        if models:
            logger.info(
                "tasks_interrupted backend=%s models=%s for=%s",
                backend, ",".join(models), demand.model,
            )  # fmt: skip
            self._shared.preempt(backend, models)

    def _withdraw(self, backend: str) -> None:
        self._published.pop(backend, None)
        self._slots.admit_all(backend)
        self._shared.withdraw(backend)
