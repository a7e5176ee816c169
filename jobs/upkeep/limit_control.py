"""Decides the limit of each backend from host load, server reports, errors and throughput. The
health checker runs it every 15 s (``ADAPTIVE_CALC_INTERVAL_SEC``)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from jobs.admission.limits import Limit, Limits
from jobs.admission.slots import Slots
from jobs.policy.effective_limit import (
    ConcurrencyConfig,
    ConcurrencyDecision,
    HostLoad,
    HostLoadError,
    ServerLoad,
    effective_limit,
)
from jobs.policy.limit_holds import CallEvent, HoldConfig, holds_after, trouble_of
from jobs.policy.parallelism import TimedCall, learned, parallelism
from jobs.policy.throughput_search import Decode, SearchConfig, SearchState, step, window_of
from jobs.process.clock import utc_now
from jobs.queues.control_requests import ControlRequests
from jobs.settings.load import Settings
from jobs.upkeep.host_load import HostMeter
from llm.backends.registry import Backends
from llm.kinds import traits_of
from llm.types import BackendSpec
from models import attempt
from models.attempt import DecodingAttempt, Ended
from models.database import session

logger = logging.getLogger(__name__)

TROUBLE_SECONDS = 900.0
WORKLOAD_CALLS = 20
PARALLELISM_CALLS = 100

MOST_ENDED = 5000
"""The newest attempts that one decision reads."""


@dataclass(slots=True)
class LimitControl:
    """Call :meth:`decide` every ``ADAPTIVE_CALC_INTERVAL_SEC``, from one process."""

    settings: Settings
    backends: Backends
    slots: Slots
    limits: Limits
    requests: ControlRequests
    meter: HostMeter = field(default_factory=HostMeter)
    states: dict[str, SearchState] = field(default_factory=dict)
    parallelism: dict[str, int | None] = field(default_factory=dict)
    decided_at: datetime | None = None

    def decide(self) -> ConcurrencyDecision:
        """Measure, decide, publish; every change is logged with its reason."""
        now = utc_now()
        settings = self.settings
        host = self.meter.measure()
        with session():
            ended = attempt.ended_since(now - timedelta(seconds=TROUBLE_SECONDS), newest=MOST_ENDED)
            decoding = attempt.decoding() if settings.adaptive_concurrency else []
        self._learn_parallelism(ended)
        if settings.adaptive_concurrency:
            self._learn_knees([*ended, *decoding], now)
        servers = [self._server_load(spec) for spec in settings.backends]
        config = concurrency_config(settings)
        limits = {server.backend: server.configured_limit for server in servers}
        holds = holds_after(_events(ended), config.hold, limits=limits)
        decision = effective_limit(host, servers, config, holds, now=now)
        self._publish(decision, host)
        self.decided_at = now
        return decision

    def _learn_parallelism(self, ended: Sequence[Ended]) -> None:
        for spec in self.settings.backends:
            mine = [row for row in ended if row.backend == spec.name]
            calls = [call for row in mine if (call := _call(row)) is not None]
            seen = parallelism(calls[-PARALLELISM_CALLS:])
            self.parallelism[spec.name] = learned(self.parallelism.get(spec.name), seen)

    def _learn_knees(self, calls: Sequence[Ended | DecodingAttempt], now: datetime) -> None:
        start = self.decided_at
        if start is None or (now - start).total_seconds() < 1:
            return
        for spec in self.settings.backends:
            mine = [row for row in calls if row.backend == spec.name]
            decodes = [decode for row in mine if (decode := _decode(row)) is not None]
            models = Counter(row.model or "" for row in mine[-WORKLOAD_CALLS:])
            workload = models.most_common(1)[0][0] if models else ""
            window = window_of(decodes, start=start, end=now, workload=workload)
            most = self.limits.configured(spec.name).slots
            state = self.states.get(spec.name) or SearchState(base=most)
            self.states[spec.name] = step(state, window, SearchConfig(), most=most)

    def _server_load(self, spec: BackendSpec) -> ServerLoad:
        state = self.states.get(spec.name)
        health = None
        if self.settings.adaptive_concurrency and traits_of(spec.kind).reports_load:
            health = self.backends.get(spec.name).health()
        configured = self.limits.configured(spec.name)
        return ServerLoad(
            backend=spec.name,
            kind=spec.kind,
            configured_limit=configured.slots,
            configured_reason=configured.reason,
            ours=self.slots.in_use(spec.name),
            active_requests=health.active_requests if health else None,
            max_concurrent=health.max_concurrent if health else None,
            queue_size=health.queue_size if health else None,
            learned_limit=state.limit if state else None,
            learned_reason=state.reason if state else "",
            parallelism=self.parallelism.get(spec.name),
            error=health.error if health and not health.reachable else None,
        )

    def _publish(self, decision: ConcurrencyDecision, host: HostLoad | HostLoadError) -> None:
        decided = {
            name: Limit(slots=limit.limit, heavy=limit.heavy_limit, reason=limit.reason)
            for name, limit in decision.limits.items()
        }
        total = 0 if decision.backpressure and self.settings.adaptive_concurrency else None
        changed = self.limits.publish(
            decided,
            total=Limit(
                slots=decision.n if total is None else total,
                heavy=0,
                reason="; ".join(decision.reasons),
            ),
        )
        for name in changed:
            limit = self.limits.of(name)
            logger.info("limit_changed backend=%s slots=%d: %s", name, limit.slots, limit.reason)
        if changed:
            self.requests.plan("limits")


def concurrency_config(settings: Settings) -> ConcurrencyConfig:
    return ConcurrencyConfig(
        ceiling=settings.max_concurrent,
        adaptive=settings.adaptive_concurrency,
        host_ram_threshold=settings.adaptive_host_ram_threshold,
        host_cpu_threshold=settings.adaptive_host_cpu_threshold,
        ram_critical=settings.adaptive_ram_critical,
        heavy_limits=settings.heavy_limits,
        kind_limits=settings.kind_limits,
        mlx_safe_max=settings.adaptive_mlx_safe_max,
        calc_interval_seconds=settings.adaptive_calc_interval_seconds,
        hold=HoldConfig(),
    )


def _events(ended: Sequence[Ended]) -> list[CallEvent]:
    return [
        CallEvent(
            backend=row.backend, at=row.finished_at, trouble=trouble_of(row.error_code, row.error)
        )
        for row in ended
        if row.backend
    ]


def _call(row: Ended) -> TimedCall | None:
    sent = row.started_at
    if row.first_token_seconds is None or row.duration_seconds is None:
        return None
    first = min(row.first_token_seconds, row.duration_seconds)
    return TimedCall(
        sent_at=sent,
        first_token_at=sent + timedelta(seconds=first),
        ended_at=sent + timedelta(seconds=row.duration_seconds),
    )


def _decode(row: Ended | DecodingAttempt) -> Decode | None:
    if row.started_at is None or not row.completion_tokens:
        return None
    if isinstance(row, DecodingAttempt):
        return Decode(row.started_at, None, row.completion_tokens, counted_at=row.counted_at)
    loaded = row.started_at + timedelta(seconds=row.load_seconds or 0.0)
    if row.finished_at <= loaded:
        return None
    return Decode(loaded, row.finished_at, row.completion_tokens)
