"""What the gateway knows when a request comes in: servers, experts, slots, and what is in memory.

Reads Redis and Postgres in threads; nothing here waits for a model server but a scan.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import anyio.to_thread

from gateway.access import AWAY_SECONDS
from gateway.calls import Call
from gateway.demand_keeper import DemandKeeper
from gateway.dialects.stream import whole
from gateway.names import NamedExpert, Place, Target, resolve
from jobs.admission.breakers import Breakers
from jobs.admission.limits import Limits
from jobs.admission.residency import Residency
from jobs.admission.slots import Slots
from jobs.planning.learned_figures import LearnedFigures
from jobs.policy.interactive import USUAL_LOAD_SECONDS, InteractiveOption, by_preference
from jobs.policy.tokens import USUAL_CONTEXT, bucket_num_ctx, estimate_tokens
from jobs.settings.load import Settings
from llm.backends.registry import Backends
from llm.errors import LLMError
from llm.kinds import traits_of
from llm.scanner import Scanner
from llm.types import CancelToken, Deadlines, Scan
from models.database import DatabaseUnavailable, session
from models.expert import Expert

logger = logging.getLogger(__name__)

EXPERTS_SECONDS = 5.0
SCAN_SECONDS = 1.0
LOOK_SECONDS = 0.05
DEFAULT_ANSWER_TOKENS = 1024


@dataclass(slots=True)
class _Cached:
    value: object
    at: float = float("-inf")


class Desk:
    """One a process. Its methods are called from the event loop; they block in threads only."""

    def __init__(
        self,
        *,
        settings: Settings,
        backends: Backends,
        scanner: Scanner,
        residency: Residency,
        breakers: Breakers,
        slots: Slots,
        limits: Limits,
        demand: DemandKeeper,
        figures: LearnedFigures,
    ) -> None:
        self.settings = settings
        self.backends = backends
        self._scanner = scanner
        self._residency = residency
        self.breakers = breakers
        self._slots = slots
        self._limits = limits
        self.demand = demand
        self._figures = figures
        self._figures_from = float("-inf")
        self._patience = timedelta(seconds=settings.interactive_patience_seconds)
        self._scan = _Cached(None)
        self._experts = _Cached(())
        self._looked = _Cached({})
        self._looking = asyncio.Lock()

    async def target(self, call: Call) -> Target:
        """Raises UnknownModel and BadCall."""
        return resolve(call, scan=await self.scan(), experts=await self.experts())

    async def scan(self) -> Scan:
        if time.monotonic() - self._scan.at > SCAN_SECONDS:
            self._scan.value = await anyio.to_thread.run_sync(self._read_scan)
            self._scan.at = time.monotonic()
        assert isinstance(self._scan.value, Scan)
        return self._scan.value

    def _read_scan(self) -> Scan:
        return self._scanner.last() or self._scanner.scan()

    async def experts(self) -> Sequence[NamedExpert]:
        """The active experts. While Postgres is away, those that were read last."""
        if time.monotonic() - self._experts.at > EXPERTS_SECONDS:
            self._experts.at = time.monotonic()
            try:
                self._experts.value = await anyio.to_thread.run_sync(_read_experts)
            except DatabaseUnavailable as error:
                self._experts.at = self._figures_from = time.monotonic() + AWAY_SECONDS
                logger.warning("experts_not_read error=%s", error)
            except Exception:
                self._experts.at = float("-inf")  # The next request must not take none for all.
                raise
        assert isinstance(self._experts.value, tuple)
        return self._experts.value

    async def in_order(
        self, places: Sequence[Place], waiting: dict[str, int], take: Callable[[Place], None]
    ) -> list[tuple[Place, bool]]:
        """``places``, the best of this moment first, and whether the model is in memory there.

        ``waiting`` requests stand in each line. Where the best place is free, ``take`` takes its
        slot in the same thread: a way to another thread and back costs more than the slot.
        """
        looked = await self._look(tuple(places), waiting, take)
        options = _in_line(looked, waiting)
        by_key = {(place.backend, place.model): place for place in places}
        return [
            (by_key[option.backend, option.model], option.resident)
            for option in by_preference(options, patience=self._patience)
        ]

    async def _look(
        self, places: tuple[Place, ...], waiting: dict[str, int], take: Callable[[Place], None]
    ) -> list[InteractiveOption]:
        """One look serves all requests of a moment: a hundred at once would queue for threads."""
        async with self._looking:
            if time.monotonic() - self._looked.at > LOOK_SECONDS:
                self._looked = _Cached({}, time.monotonic())
            looks = self._looked.value
            assert isinstance(looks, dict)
            if places not in looks:
                looks[places] = await anyio.to_thread.run_sync(
                    self._look_and_take, places, waiting, take
                )
            found: list[InteractiveOption] = looks[places]
            return found

    def _look_and_take(
        self, places: tuple[Place, ...], waiting: dict[str, int], take: Callable[[Place], None]
    ) -> list[InteractiveOption]:
        options = self._options(places)
        best = by_preference(_in_line(options, waiting), patience=self._patience)[0]
        if best.is_free:
            take(next(p for p in places if (p.backend, p.model) == (best.backend, best.model)))
        return options

    def _options(self, places: Sequence[Place]) -> list[InteractiveOption]:
        names = sorted({place.backend for place in places})
        held = {state.backend: len(state.leases) for state in self._slots.inspect(*names)}
        residents = {name: self._residency.seen(name) or () for name in names}
        loads = all(place.model not in residents[place.backend] for place in places)
        found = []
        for place in places:
            resident = residents[place.backend]
            spec = self.settings.backend(place.backend)
            most = (self._residency.holds(spec) if spec else None) or 1
            demand = self.demand.demanded(place.backend)
            found.append(
                InteractiveOption(
                    backend=place.backend,
                    model=place.model,
                    blocked=self.breakers.blocked(place.backend, place.model),
                    resident=place.model in resident,
                    slots=self._limits.of(place.backend).slots,
                    running=held.get(place.backend, 0),
                    busy_models=len(set(resident) - {place.model}),
                    max_resident=most,
                    load_seconds=self._load_seconds(place) if loads else 0.0,
                    contested=most == 1 and demand is not None and demand.model != place.model,
                )
            )
        return found

    def _load_seconds(self, place: Place) -> float:
        """As learned; the usual ones while Postgres is away."""
        if time.monotonic() < self._figures_from:
            return USUAL_LOAD_SECONDS
        try:
            return self._figures.figures(place.backend, place.model).load_seconds.mean
        except DatabaseUnavailable as error:
            self._experts.at = self._figures_from = time.monotonic() + AWAY_SECONDS
            logger.warning("loads_not_read error=%s", error)
            return USUAL_LOAD_SECONDS

    def num_ctx(self, place: Place, call: Call) -> int | None:
        """The context for a server that loads a model for a given context; otherwise None."""
        spec = self.settings.backend(place.backend)
        if spec is None or not traits_of(spec.kind).takes_num_ctx:
            return None
        return context_of(call, trained_tokens=place.context_tokens)

    async def ensure_loaded(self, place: Place, num_ctx: int | None, *, resident: bool) -> float:
        """Seconds spent loading; raises LLMError. A server that loads by itself is left to it.

        ``resident``: it was seen in memory a moment ago.
        """
        spec = self.settings.backend(place.backend)
        assert spec is not None
        if traits_of(spec.kind).loads_unseen:
            return 0.0
        if resident and self._residency.is_fresh(place.backend, place.model, num_ctx or 0):
            return 0.0
        token = CancelToken()
        patience = self.settings.interactive_patience_seconds
        deadlines = Deadlines(load_seconds=self.settings.llm_timeout_seconds + patience)

        def ensure() -> float:
            return self._residency.ensure(
                self.backends.get(place.backend),
                place.model,
                num_ctx or 0,
                deadlines=deadlines,
                cancel=token,
                cause="chat",
            )

        try:
            return await anyio.to_thread.run_sync(ensure, abandon_on_cancel=True)
        except BaseException as error:
            token.cancel("the caller hung up")
            if isinstance(error, LLMError):
                self._residency.forget(place.backend)
            raise

    async def loaded_inside(
        self, place: Place, num_ctx: int | None, *, reported_seconds: float, call_seconds: float
    ) -> float:
        """The seconds of a load that the server did inside a call, which are recorded; 0.0 where
        what it reported was none."""
        spec = self.settings.backend(place.backend)
        assert spec is not None
        if reported_seconds <= traits_of(spec.kind).warm_load_seconds:
            return 0.0

        def record() -> None:
            self._residency.loaded_inside(
                place.backend,
                place.model,
                num_ctx or 0,
                load_seconds=reported_seconds,
                call_seconds=call_seconds,
                cause="chat",
            )

        await anyio.to_thread.run_sync(record)
        return reported_seconds

    async def residents(self) -> dict[str, tuple[str, ...]]:
        """The resident models by server, as last seen; servers without a recent scan are
        missing."""

        def look() -> dict[str, tuple[str, ...]]:
            names = [spec.name for spec in self.settings.backends]
            return {name: seen for name in names if (seen := self._residency.seen(name))}

        return await anyio.to_thread.run_sync(look)

    def used(self, place: Place, num_ctx: int | None) -> None:
        """An answer came: the model is in memory, and stays for the caller's next request."""
        self._residency.used(place.backend, place.model, num_ctx or 0)


def _in_line(
    options: Sequence[InteractiveOption], waiting: dict[str, int]
) -> list[InteractiveOption]:
    return [replace(option, waiting=waiting.get(option.backend, 0)) for option in options]


def context_of(call: Call, *, trained_tokens: int | None) -> int:
    """As for tasks: one of a few sizes, and never beyond what the model was trained for."""
    options = call.body.get("options")
    own = whole(options.get("num_ctx")) if isinstance(options, dict) else None
    answer = call.max_tokens or DEFAULT_ANSWER_TOKENS
    wanted = max(bucket_num_ctx(estimate_tokens(call.text), answer, own), USUAL_CONTEXT)
    return min(wanted, trained_tokens) if trained_tokens else wanted


def _read_experts() -> tuple[NamedExpert, ...]:
    with session():
        return tuple(_persona(expert) for expert in Expert.active() if expert.name)


def _persona(expert: Expert) -> NamedExpert:
    metadata = expert.metadata if isinstance(expert.metadata, dict) else {}
    preferred = metadata.get("preferred_model")
    return NamedExpert(
        name=expert.name or "",
        role=expert.role or "",
        system_prompt=expert.system_prompt or "",
        preferred_model=preferred if isinstance(preferred, str) else None,
    )
