"""The present admission limit of every backend, as decided last and shared through Redis."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import redis

from jobs.admission.interactive_demand import InteractiveDemand
from jobs.admission.slots import SlotDecision, Slots
from jobs.policy.interactive import Demand
from jobs.process.clock import epoch_seconds, utc_now
from jobs.queues.names import LIMITS
from jobs.settings.load import Settings
from llm.types import BackendSpec

CACHE_SECONDS = 1.0
TOTAL = "*"
STALE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Limit:
    """How many calls a backend may run at once, how many of them with heavy models, and why."""

    slots: int
    heavy: int
    reason: str
    decided_at: float = 0.0


class Limits:
    """Read by the middleware and the dispatcher, written by whoever decides the limits.

    A decided limit expires: when nothing decides any more, the configured limits hold again.
    """

    def __init__(
        self,
        client: redis.Redis,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._interactive = InteractiveDemand(client)
        self._settings = settings
        self._clock = clock
        self._cached_at = float("-inf")
        self._limits: dict[str, Limit] = {}
        self._demands: Mapping[str, Demand] = {}

    @property
    def total(self) -> Limit:
        """The limit over all backends together; 0 slots: nothing new is dispatched."""
        self._refresh()
        found = self._limits.get(TOTAL)
        ceiling = self._settings.max_concurrent
        return found or Limit(
            slots=ceiling, heavy=ceiling, reason=f"SMART_WORKER_MAX_CONCURRENT is {ceiling}"
        )

    def of(self, backend: str) -> Limit:
        """The limit in force; the configured one where nothing was decided."""
        self._refresh()
        found = self._limits.get(backend)
        return found if found is not None else self.configured(backend)

    def reserved(self, backend: str) -> int:
        """Slots that are kept for people there; 0 while no person has sent a request for a
        while."""
        self._refresh()
        return self._settings.interactive_reserved if backend in self._demands else 0

    def demand(self, backend: str) -> Demand | None:
        """What people want of this server now, or None."""
        self._refresh()
        return self._demands.get(backend)

    def for_tasks(self, backend: str) -> int:
        """The slots of ``backend`` without those that are kept for people; at least one of any."""
        slots = self.of(backend).slots
        return max(min(1, slots), slots - self.reserved(backend))

    @property
    def total_for_tasks(self) -> int:
        """The total limit without what is kept for people; at least one of any."""
        slots = self.total.slots
        return max(min(1, slots), slots - self.total_reserved)

    @property
    def total_reserved(self) -> int:
        """Slots of the total limit that are kept for people, at whichever server they ask."""
        self._refresh()
        return self._settings.interactive_reserved if self._demands else 0

    def read_again(self) -> None:
        """What was read last is out of date."""
        self._cached_at = float("-inf")

    def configured(self, backend: str) -> Limit:
        spec = self._settings.backend(backend)
        if spec is None:
            return Limit(slots=1, heavy=1, reason="backend is not configured")
        slots = min(spec.max_concurrent, self._settings.max_concurrent)
        heavy = self._settings.heavy_limits.get(spec.kind, spec.max_concurrent)
        reason = f"{self._binding(spec)} is {slots}"
        return Limit(slots=slots, heavy=min(slots, heavy), reason=reason)

    def _binding(self, spec: BackendSpec) -> str:
        """The setting that the configured limit comes from."""
        settings = self._settings
        if spec.max_concurrent >= settings.max_concurrent:
            return "SMART_WORKER_MAX_CONCURRENT"
        if spec.name == "mlx" and spec.max_concurrent == settings.mlx_max_concurrent:
            return "MLX_MAX_CONCURRENT"
        return "max_concurrent in KOS_BACKENDS_FILE"

    def publish(self, decided: Mapping[str, Limit], *, total: Limit) -> list[str]:
        """Store ``decided``; the backends whose number of slots changed."""
        changed = [name for name, limit in decided.items() if self.of(name).slots != limit.slots]
        now = epoch_seconds()
        for name, limit in {**decided, TOTAL: total}.items():
            self._client.hset(LIMITS, name, json.dumps(asdict(replace(limit, decided_at=now))))
        self._cached_at = float("-inf")
        return changed

    def _refresh(self) -> None:
        if self._clock() - self._cached_at < CACHE_SECONDS:
            return
        stored = self._client.hgetall(LIMITS)
        self._demands = self._interactive.read(now=utc_now())
        oldest = epoch_seconds() - max(
            STALE_SECONDS, 4 * self._settings.adaptive_calc_interval_seconds
        )
        decided = {_text(name): Limit(**json.loads(value)) for name, value in stored.items()}
        self._limits = {name: limit for name, limit in decided.items() if limit.decided_at > oldest}
        self._cached_at = self._clock()


def acquire(
    slots: Slots,
    limits: Limits,
    backend: str,
    holder: str,
    *,
    model: str = "",
    heavy: bool = False,
    wait: bool = True,
) -> SlotDecision:
    """`Slots.acquire` within every limit in force: the backend's, its heavy models', and the total.

    Raises RedisError.
    """
    limit = limits.of(backend)
    return slots.acquire(
        backend,
        holder,
        limit=limit.slots,
        heavy=heavy,
        heavy_limit=limit.heavy,
        total_limit=limits.total.slots,
        wait=wait,
        reserved=limits.reserved(backend),
        total_reserved=limits.total_reserved,
        model=model,
    )


@contextmanager
def canary_slot(
    slots: Slots, limits: Limits, backend: str, *, model: str = "", heavy: bool = False
) -> Iterator[bool]:
    """Hold a slot for a canary where one is free now; yields whether it is held.

    A canary counts like any other call, so looking never goes over a limit. It never waits for a
    slot: what runs there is a better proof. Raises RedisError.
    """
    holder = f"canary:{time.monotonic_ns()}"
    if not acquire(slots, limits, backend, holder, model=model, heavy=heavy, wait=False).granted:
        yield False
        return
    try:
        yield True
    finally:
        slots.release(backend, holder)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
