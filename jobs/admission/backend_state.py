"""The present state of each model server, for the planner and the pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jobs.admission.breakers import Breakers
from jobs.admission.consumers import Consumers
from jobs.admission.limits import Limit, Limits
from jobs.admission.residency import Holds, Residency
from llm.breaker import CLOSED, BreakerPhase
from llm.types import ServerScan


@dataclass(frozen=True, slots=True)
class BackendState:
    """``error`` is why the last scan got no models, ``blocked`` why nothing is sent there: it is
    paused, no worker takes its queue, or its breaker or those of all its models are not closed.

    ``resident`` are the models in memory, as last seen; none at a server that is away. ``holds``
    says that it was seen to hold fewer than configured.
    """

    name: str
    limit: Limit
    paused: bool = False
    error: str | None = None
    blocked: str | None = None
    breaker: BreakerPhase = BreakerPhase.CLOSED
    breaker_reason: str | None = None
    breaker_retry_at: datetime | None = None
    resident: tuple[str, ...] = ()
    holds: Holds | None = None


@dataclass(frozen=True, slots=True)
class BackendStates:
    """Reads states from Redis and the last scan; asks no server."""

    breakers: Breakers
    limits: Limits
    residency: Residency
    consumers: Consumers

    def read_again(self) -> None:
        """What was read last is out of date."""
        self.breakers.read_again()
        self.limits.read_again()

    def of(self, name: str, server: ServerScan | None) -> BackendState:
        """``server`` is what the last scan found, None before the first. Raises RedisError."""
        breaker = self.breakers.states().get(name, CLOSED)
        is_open = breaker.phase is not BreakerPhase.CLOSED
        return BackendState(
            name=name,
            limit=self.limits.of(name),
            paused=name in self.breakers.paused(),
            error=server.error or "not scanned" if server and not server.reachable else None,
            blocked=(
                self.breakers.blocked(name)
                or self.consumers.missing(name)
                or self._without_model(name, server)
            ),
            breaker=breaker.phase,
            breaker_reason=breaker.reason if is_open else None,
            breaker_retry_at=breaker.retry_at if is_open else None,
            resident=self._resident(name, server),
            holds=self.residency.learned_holds(name),
        )

    def _without_model(self, name: str, server: ServerScan | None) -> str | None:
        """Why each model of the server takes nothing now; None where one does."""
        reasons = []
        for model in server.usable if server else ():
            reason = self.breakers.blocked(name, model.name)
            if reason is None:
                return None
            reasons.append(f"{model.name}: {reason}")
        return f"no model works: {reasons[0]}" if reasons else None

    def _resident(self, name: str, server: ServerScan | None) -> tuple[str, ...]:
        if server is not None and not server.reachable:
            return ()
        seen = self.residency.seen(name)
        if seen is not None:
            return seen
        return tuple(model.name for model in server.resident) if server is not None else ()
