"""How many tasks may run now, and why.

    N = min(ceiling, host cap, what MLX has free + what Ollama may take + the other servers)

- The host cap is the ceiling; half of it from 85 % of memory or CPU on; 1 from 90 % of memory on.
- What a server has free counts our own requests as ours: only foreign ones take from it.
- After a server ran out of memory, or after a run of timeouts, its limit is halved and held, and
  then regained one step at a time (:mod:`jobs.policy.limit_holds`).
- What cannot be measured is not idle: an unmeasured host counts as overloaded, a server that does
  not answer gets the safe number and counts as overloaded.
- N is at least 1. When every server is overloaded, nothing new is dispatched (backpressure);
  what runs goes on.

``n`` bounds all backends together, ``limits`` each one by itself: they need not add up to ``n``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from jobs.policy.limit_holds import HoldConfig, LimitHolds, held_limit
from jobs.policy.parallelism import MOST_AHEAD
from llm.kinds import traits_of
from llm.types import BackendKind


@dataclass(frozen=True, slots=True)
class HostLoad:
    """What the machine, or the container around us, has left. Fractions from 0 to 1."""

    at: datetime
    ram_fraction: float
    cpu_fraction: float
    ram_total_bytes: int
    ram_available_bytes: int
    cpu_count: float
    source: str = "host"


@dataclass(frozen=True, slots=True)
class HostLoadError:
    """The load could not be measured. This is not "no load"."""

    at: datetime
    error: str


@dataclass(frozen=True, slots=True)
class ServerLoad:
    """What one server does now.

    ``ours`` is how many of its requests our slots account for. ``active_requests``,
    ``max_concurrent`` and ``queue_size`` are what the server says (MLX), None where it tells
    nothing (Ollama). ``learned_limit`` is learned from the throughput, ``configured_limit`` comes
    from the settings. ``parallelism`` is how many requests it works on at once, as learned from its
    answers, None while that is unknown. ``error`` tells why the server could not be measured.
    """

    backend: str
    kind: BackendKind
    configured_limit: int
    configured_reason: str = "set by hand"
    ours: int = 0
    active_requests: int | None = None
    max_concurrent: int | None = None
    queue_size: int | None = None
    learned_limit: int | None = None
    learned_reason: str = ""
    parallelism: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ConcurrencyConfig:
    """The settings ``SMART_WORKER_MAX_CONCURRENT``, ``SMART_WORKER_ADAPTIVE_CONCURRENCY`` and
    ``ADAPTIVE_*``, with their defaults. Without ``adaptive`` the configured limits hold, lowered
    only after trouble."""

    ceiling: int = 10
    adaptive: bool = False
    host_ram_threshold: float = 0.85
    host_cpu_threshold: float = 0.85
    ram_critical: float = 0.90
    heavy_limits: Mapping[BackendKind, int] = field(
        default_factory=lambda: {BackendKind.MLX: 2, BackendKind.OLLAMA: 2}
    )
    kind_limits: Mapping[BackendKind, int] = field(default_factory=lambda: {BackendKind.OLLAMA: 10})
    mlx_safe_max: int = 2
    calc_interval_seconds: float = 15.0
    hold: HoldConfig = field(default_factory=HoldConfig)


@dataclass(frozen=True, slots=True)
class BackendLimit:
    """The present limit of one backend. ``reason`` names what set it."""

    backend: str
    limit: int
    heavy_limit: int
    overloaded: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ConcurrencyDecision:
    """How many tasks may run now. ``reasons`` say what bound ``n``, most important first."""

    n: int
    limits: Mapping[str, BackendLimit]
    backpressure: bool
    reasons: tuple[str, ...]

    def limit(self, backend: str) -> int:
        """The limit of ``backend``; 0 for one that the decision does not know."""
        known = self.limits.get(backend)
        return known.limit if known else 0

    def heavy_limit(self, backend: str) -> int:
        known = self.limits.get(backend)
        return known.heavy_limit if known else 0


def effective_limit(
    host: HostLoad | HostLoadError,
    servers: Sequence[ServerLoad],
    config: ConcurrencyConfig,
    holds: LimitHolds,
    *,
    now: datetime,
) -> ConcurrencyDecision:
    """Decide how many tasks may run, over all and per backend, and say why."""
    host_cap, host_reason = _host_cap(host, config)
    limits = {
        server.backend: _capped(_server_limit(server, config, holds, now=now), host_cap)
        for server in servers
    }
    sum_of_servers = sum(limit.limit for limit in limits.values())
    n = max(1, min(config.ceiling, host_cap, sum_of_servers))
    overloaded = [limit for limit in limits.values() if limit.overloaded]
    backpressure = bool(limits) and len(overloaded) == len(limits)
    reasons = [host_reason] if host_cap < config.ceiling else []
    if sum_of_servers < min(config.ceiling, host_cap):
        reasons.append(f"the servers can take {sum_of_servers} together")
    if backpressure:
        reasons.insert(0, "every server is overloaded: nothing new is dispatched")
    reasons += [f"{limit.backend}: {limit.reason}" for limit in overloaded]
    return ConcurrencyDecision(
        n, limits, backpressure, tuple(reasons) or (f"SMART_WORKER_MAX_CONCURRENT is {n}",)
    )


def _host_cap(host: HostLoad | HostLoadError, config: ConcurrencyConfig) -> tuple[int, str]:
    half = max(1, config.ceiling // 2)
    if not config.adaptive:
        return config.ceiling, f"SMART_WORKER_MAX_CONCURRENT is {config.ceiling}"
    if isinstance(host, HostLoadError):
        return half, f"halved: the host's load could not be measured ({host.error})"
    if host.ram_fraction >= config.ram_critical:
        return 1, f"one at a time: memory at {host.ram_fraction:.1%} of the {host.source}"
    if host.ram_fraction >= config.host_ram_threshold:
        return half, f"halved: memory at {host.ram_fraction:.1%} of the {host.source}"
    if host.cpu_fraction >= config.host_cpu_threshold:
        return half, f"halved: CPU at {host.cpu_fraction:.1%} of the {host.source}"
    return config.ceiling, f"SMART_WORKER_MAX_CONCURRENT is {config.ceiling}"


def _server_limit(
    server: ServerLoad, config: ConcurrencyConfig, holds: LimitHolds, *, now: datetime
) -> BackendLimit:
    limit, reason, overloaded = _own_capacity(server, config)
    if server.learned_limit is not None and server.learned_limit < limit:
        limit = max(1, server.learned_limit)
        reason = server.learned_reason or f"more than {limit} at once would be no faster"
    limit, reason = _by_parallelism(limit, reason, server, config)
    hold = holds.holds.get(server.backend)
    allowed = held_limit(hold, config.hold, now=now)
    if hold is not None and allowed < limit:
        limit = allowed
        reason = hold.reason if now < hold.until else f"{allowed} regained; {hold.reason}"
    heavy = config.heavy_limits.get(server.kind, server.configured_limit)
    return BackendLimit(server.backend, limit, min(heavy, limit), overloaded, reason)


def _by_parallelism(
    limit: int, reason: str, server: ServerLoad, config: ConcurrencyConfig
) -> tuple[int, str]:
    """What is sent beyond the requests that a server works on only waits there."""
    if server.parallelism is None or server.max_concurrent is not None:
        return limit, reason
    useful = server.parallelism + MOST_AHEAD
    if useful >= limit:
        return limit, reason
    works = f"the server answers {server.parallelism} at a time"
    if not config.adaptive:
        return limit, f"{reason}; {works}"
    return useful, f"{useful} of {server.configured_limit}: {works}"


def _own_capacity(server: ServerLoad, config: ConcurrencyConfig) -> tuple[int, str, bool]:
    """The limit by what the server says of itself, why, and whether it is overloaded."""
    configured = server.configured_limit
    if configured <= 0:
        return 0, "its limit is set to 0", True
    if not config.adaptive:
        failed = server.error is not None
        state = (
            f"its load could not be measured ({server.error})"
            if failed
            else server.configured_reason
        )
        return configured, state, failed
    configured = min(configured, config.kind_limits.get(server.kind, configured))
    if server.error is not None:
        unknown = min(configured, config.mlx_safe_max)
        return max(1, unknown), f"its load could not be measured ({server.error})", True
    if server.active_requests is None or server.max_concurrent is None:
        return _without_own_figures(server, configured, config)
    foreign = max(0, server.active_requests - server.ours)
    free = min(configured, server.max_concurrent - foreign)
    if free <= 0:
        return 1, f"full with {foreign} requests of others", True
    if server.queue_size:
        return free, f"{server.queue_size} requests wait at the server", True
    reason = (
        f"{free} of {server.max_concurrent} left by others"
        if foreign
        else f"the server takes {free} at once"
    )
    return free, reason, False


def _without_own_figures(
    server: ServerLoad, configured: int, config: ConcurrencyConfig
) -> tuple[int, str, bool]:
    """Ollama and most others tell nothing: our own count of requests is all there is."""
    if traits_of(server.kind).reports_load:
        safe = min(configured, config.mlx_safe_max)
        return safe, f"it does not report its load: at most {safe}", False
    crowded = server.ours > configured
    reason = (
        f"{server.ours} in flight, more than {configured}" if crowded else f"at most {configured}"
    )
    return configured, reason, crowded


def _capped(limit: BackendLimit, host_cap: int) -> BackendLimit:
    if limit.limit <= host_cap:
        return limit
    capped = max(1, host_cap)
    reason = f"{capped}, because this machine is busy ({limit.reason})"
    return replace(limit, limit=capped, heavy_limit=min(limit.heavy_limit, capped), reason=reason)
