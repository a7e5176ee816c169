"""Model servers: their state now, and the limits and breakers that apply to them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import redis

from console.operations.connections import Connections
from console.operations.errors import UnknownName, near
from console.operations.plan_request import request_plan
from jobs.admission.breakers import CACHE_SECONDS, Breakers, split
from jobs.admission.limits import Limits
from jobs.admission.residency import Residency
from jobs.admission.slots import Slots
from jobs.runtime import model_servers
from jobs.settings.load import Settings
from llm.breaker import BreakerPhase, BreakerState
from llm.errors import LLMError
from llm.scanner import Scanner
from llm.types import BackendSpec, ServerScan
from models.base import Row
from models.database import session

PAUSED_REASON = "paused by hand"


@dataclass(frozen=True, slots=True)
class Probe:
    """The answer of a server: its resident models, or the error."""

    resident: tuple[str, ...] = ()
    error: str | None = None


def checked_name(settings: Settings, written: str) -> str:
    """Raises UnknownName."""
    names = [spec.name for spec in settings.backends]
    if written not in names:
        raise UnknownName(f"backend {written!r} is not configured; {near(written, names)}")
    return written


def overview(settings: Settings, client: redis.Redis | None, *, refresh: bool = False) -> list[Row]:
    """``{"name", "kind", "url", "healthy", "error", "models", "resident", "in_flight", "limit",
    "limit_reason", "breaker", "simulated", "holds"}`` for each server.

    ``holds`` is None, or ``{"models", "loaded", "removed"}`` where it holds fewer models at once
    than configured. Healthy means that it answers now. ``refresh`` lists its models anew.
    Without ``client`` (no Redis) limits are the configured ones and nothing is in flight.
    """
    servers, scanner = model_servers(settings, client)
    try:
        scan = scanner.scan(refresh=refresh)
        probe = _probe_all(scanner, settings.backends)
    finally:
        servers.close()
    states = Breakers(client).states() if client else {}
    paused = Breakers(client).paused() if client else frozenset()
    return [
        _row(spec, scan.server(spec.name), probe[spec.name])
        | _admission(settings, client, spec, paused=spec.name in paused)
        | {
            "breaker": _phase(spec.name, states),
            "simulated": spec.name in settings.simulated,
            "holds": _holds(client, spec.name) if client else None,
        }
        for spec in settings.backends
    ]


def troubled_models(client: redis.Redis) -> list[Row]:
    """``{"backend", "model", "breaker", "reason"}`` of every breaker that is not closed."""
    return [
        {"backend": split(key)[0], "model": split(key)[1], "breaker": state.phase.value,
         "reason": state.reason, "retry_at": state.retry_at}
        for key, state in sorted(Breakers(client).states().items())
        if state.phase is not BreakerPhase.CLOSED
    ]  # fmt: skip


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


def _row(spec: BackendSpec, server: ServerScan | None, probe: Probe) -> Row:
    models = server.models if server else None
    error = probe.error or (server.error if server and server.models is None else None)
    return {
        "name": spec.name,
        "kind": spec.kind.value,
        "url": spec.url,
        "healthy": error is None,
        "error": error,
        "models": [model.name for model in models or () if model.broken is None],
        "resident": list(probe.resident),
    }


def _admission(
    settings: Settings, client: redis.Redis | None, spec: BackendSpec, *, paused: bool
) -> Row:
    if client is None:
        return {
            "in_flight": 0,
            "limit": min(spec.max_concurrent, settings.max_concurrent),
            "limit_reason": "no Redis is known",
        }
    limit = Limits(client, settings).of(spec.name)
    in_flight = Slots(client, lease_seconds=settings.lease_seconds).in_use(spec.name)
    reason = f"{PAUSED_REASON}: `kos resume {spec.name}`" if paused else limit.reason
    slots = 0 if paused else limit.slots
    return {"in_flight": in_flight, "limit": slots, "limit_reason": reason}


def _holds(client: redis.Redis, backend: str) -> Row | None:
    found = Residency(client).learned_holds(backend)
    return asdict(found) if found else None


def _phase(name: str, states: Mapping[str, BreakerState]) -> str:
    state = states.get(name)
    return state.phase.value if state else BreakerPhase.CLOSED.value
