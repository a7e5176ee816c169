"""Model servers: their state now, and the limits and breakers that apply to them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import redis

from console.operations.connections import Connections
from console.operations.errors import UnknownName, near
from console.operations.plan_request import request_plan
from jobs.admission.breakers import CACHE_SECONDS, Breakers, split
from jobs.admission.limits import Limits
from jobs.admission.residency import Holds, Residency
from jobs.admission.slots import Slots
from jobs.runtime import model_servers
from jobs.settings.load import Settings
from llm.breaker import BreakerPhase
from llm.errors import LLMError
from llm.scanner import Scanner
from llm.types import BackendSpec, ServerScan
from models.database import session

PAUSED_REASON = "paused by hand"


@dataclass(frozen=True, slots=True)
class Probe:
    """The answer of a server: its resident models, or the error."""

    resident: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class BackendOverview:
    """A model server. ``healthy``: it answers now. ``models`` are the usable ones; ``breaker`` is
    a phase; ``holds`` is known where it holds fewer models at once than configured."""

    name: str
    kind: str
    url: str
    healthy: bool
    error: str | None
    models: list[str]
    resident: tuple[str, ...]
    in_flight: int
    limit: int
    limit_reason: str
    breaker: str
    simulated: bool
    holds: Holds | None


@dataclass(frozen=True, slots=True)
class OpenBreaker:
    """A breaker that is not closed: that of a backend, or with ``model`` of one model there."""

    backend: str
    model: str | None
    breaker: str
    reason: str | None
    retry_at: datetime | None


def checked_name(settings: Settings, written: str) -> str:
    """Raises UnknownName."""
    names = [spec.name for spec in settings.backends]
    if written not in names:
        raise UnknownName(f"backend {written!r} is not configured; {near(written, names)}")
    return written


def overview(
    settings: Settings, client: redis.Redis | None, *, refresh: bool = False
) -> list[BackendOverview]:
    """Each configured server. ``refresh`` lists its models anew. Without ``client`` (no Redis)
    limits are the configured ones and nothing is in flight."""
    servers, scanner = model_servers(settings, client)
    try:
        scan = scanner.scan(refresh=refresh)
        probe = _probe_all(scanner, settings.backends)
    finally:
        servers.close()
    admission = _Admission(client, settings)
    return [
        _overview(spec, scan.server(spec.name), probe[spec.name], admission)
        for spec in settings.backends
    ]


def open_breakers(client: redis.Redis) -> list[OpenBreaker]:
    return [
        OpenBreaker(*split(key), state.phase.value, state.reason, state.retry_at)
        for key, state in sorted(Breakers(client).states().items())
        if state.phase is not BreakerPhase.CLOSED
    ]


def pause(client: redis.Redis, backend: str) -> None:
    """Nothing more is sent there until :func:`resume`; what runs goes on."""
    Breakers(client).pause(backend)


def resume(client: redis.Redis, backend: str) -> None:
    Breakers(client).resume(backend)


def set_paused(connections: Connections, backend: str, *, paused: bool) -> None:
    """Pause or resume; return when every process has applied it and the planner is awake.

    Processes cache for ``CACHE_SECONDS`` which backends are paused, so an earlier wake-up of the
    planner would use the old state.
    """
    (pause if paused else resume)(connections.redis, backend)
    time.sleep(CACHE_SECONDS)
    connections.use_database()
    with session():
        request_plan("pause" if paused else "resume")


def _probe_all(scanner: Scanner, specs: Sequence[BackendSpec]) -> dict[str, Probe]:
    if not specs:
        return {}
    with ThreadPoolExecutor(max_workers=len(specs)) as pool:
        answers = pool.map(lambda spec: _probe(scanner, spec.name), specs)
        return {spec.name: answer for spec, answer in zip(specs, answers, strict=True)}


def _probe(scanner: Scanner, name: str) -> Probe:
    try:
        return Probe(resident=tuple(model.name for model in scanner.residents(name)))
    except LLMError as error:
        return Probe(error=f"{error.code}: {error}")


class _Admission:
    """What Redis says of each backend."""

    def __init__(self, client: redis.Redis | None, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        breakers = Breakers(client) if client else None
        self._states = breakers.states() if breakers else {}
        self._paused = breakers.paused() if breakers else frozenset()

    def simulated(self, backend: str) -> bool:
        return backend in self._settings.simulated

    def breaker(self, backend: str) -> str:
        state = self._states.get(backend)
        return (state.phase if state else BreakerPhase.CLOSED).value

    def holds(self, backend: str) -> Holds | None:
        return Residency(self._client).learned_holds(backend) if self._client else None

    def in_flight(self, backend: str) -> int:
        if self._client is None:
            return 0
        return Slots(self._client, lease_seconds=self._settings.lease_seconds).in_use(backend)

    def limit(self, spec: BackendSpec) -> tuple[int, str]:
        """The limit and its reason."""
        if self._client is None:
            return min(spec.max_concurrent, self._settings.max_concurrent), "no Redis is known"
        if spec.name in self._paused:
            return 0, f"{PAUSED_REASON}: `kos resume {spec.name}`"
        limit = Limits(self._client, self._settings).of(spec.name)
        return limit.slots, limit.reason


def _overview(
    spec: BackendSpec, server: ServerScan | None, probe: Probe, admission: _Admission
) -> BackendOverview:
    error = probe.error or (server.error if server and server.models is None else None)
    limit, reason = admission.limit(spec)
    return BackendOverview(
        name=spec.name,
        kind=spec.kind.value,
        url=spec.url,
        healthy=error is None,
        error=error,
        models=[model.name for model in server.usable] if server else [],
        resident=probe.resident,
        in_flight=admission.in_flight(spec.name),
        limit=limit,
        limit_reason=reason,
        breaker=admission.breaker(spec.name),
        simulated=admission.simulated(spec.name),
        holds=admission.holds(spec.name),
    )
