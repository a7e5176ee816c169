"""Requests of people in a simulation, by the same pure functions as in the gateway.

Which server answers, what gives way, and for how long a model is kept. One demand a server: the
model for which somebody waits longest, else the one used last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from jobs.policy.interactive import (
    Demand,
    InteractiveOption,
    admitted_models,
    by_preference,
    keep_seconds,
    preempted_models,
)
from jobs.simulation.server import VirtualServer
from jobs.simulation.workload import Pair, VirtualRequest, Workload


@dataclass(slots=True)
class _ModelDemand:
    """A model that people requested at a server. Times in seconds since the start."""

    waiting_since: list[float] = field(default_factory=list)
    running: int = 0
    ended_at: float | None = None
    pauses: list[float] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        return not self.waiting_since and not self.running


class People:
    """Holds no clock: the engine passes the time and performs what is decided."""

    def __init__(
        self, workload: Workload, servers: Mapping[str, VirtualServer], epoch: datetime
    ) -> None:
        self.requests = {request.id: request for request in workload.interactive}
        self._workload = workload
        self._servers = servers
        self._epoch = epoch
        self._patience = timedelta(seconds=workload.interactive_patience_seconds)
        self._models = workload.model_by_pair
        self._wanted: dict[Pair, _ModelDemand] = {}

    def arrive(self, request: VirtualRequest, now: float) -> Pair:
        """The place that answers it."""
        options = [self._option(pair, now) for pair in request.service_seconds]
        best = by_preference(options, patience=self._patience)[0]
        wanted = self._wanted.setdefault((best.backend, best.model), _ModelDemand())
        if wanted.idle and wanted.ended_at is not None:
            wanted.pauses.append(now - wanted.ended_at)
        wanted.waiting_since.append(request.arrival_seconds)
        return best.backend, best.model

    def started(self, request_id: str, pair: Pair) -> None:
        wanted = self._wanted[pair]
        wanted.waiting_since.remove(self.requests[request_id].arrival_seconds)
        wanted.running += 1

    def ended(self, pair: Pair, now: float) -> None:
        wanted = self._wanted[pair]
        wanted.running -= 1
        wanted.ended_at = now

    def lost(self, request_id: str, pair: Pair, *, now: float) -> None:
        """Its server died; it asks again."""
        wanted, arrived = self._wanted[pair], self.requests[request_id].arrival_seconds
        if arrived in wanted.waiting_since:
            wanted.waiting_since.remove(arrived)
        else:
            self.ended(pair, now)

    def demands(self, now: float) -> dict[str, Demand]:
        """What people want of each server, by backend."""
        best: dict[str, tuple[tuple[bool, float], Demand]] = {}
        for (backend, model), wanted in self._wanted.items():
            if wanted.idle and now >= self._kept_until((backend, model)):
                continue
            since = min(wanted.waiting_since, default=None)
            rank = (True, -since) if since is not None else (False, wanted.ended_at or 0.0)
            if backend not in best or rank > best[backend][0]:
                moment = None if since is None else self._moment(since)
                demand = Demand(model, 0, self._moment(now), waiting_since=moment)
                best[backend] = (rank, demand)
        return {backend: demand for backend, (_, demand) in best.items()}

    def next_change(self, now: float) -> float | None:
        """When somebody's patience ends or a model is given up, if anything is to come."""
        moments = [
            since + self._workload.interactive_patience_seconds
            for wanted in self._wanted.values()
            for since in wanted.waiting_since
        ]
        moments += [self._kept_until(pair) for pair, wanted in self._wanted.items() if wanted.idle]
        return min((moment for moment in moments if moment > now), default=None)

    def interrupted(self, backend: str, demand: Demand, now: float) -> tuple[str, ...]:
        """The models whose tasks are interrupted there now."""
        server = self._servers[backend]
        return preempted_models(
            demand,
            self._running(server),
            max_resident=server.profile.resident_models,
            resident=demand.model in server.resident,
            patience=self._patience,
            now=self._moment(now),
        )

    def admitted(self, backend: str, demand: Demand) -> frozenset[str] | None:
        """The models whose tasks may start there; None where any may."""
        server = self._servers[backend]
        return admitted_models(
            demand,
            self._running(server),
            max_resident=server.profile.resident_models,
            resident=demand.model in server.resident,
        )

    def _option(self, pair: Pair, now: float) -> InteractiveOption:
        backend, model = pair
        server = self._servers[backend]
        demand = self.demands(now).get(backend)
        most = server.profile.resident_models
        waiting = sum(
            len(wanted.waiting_since)
            for (name, _), wanted in self._wanted.items()
            if name == backend
        )
        return InteractiveOption(
            backend,
            model,
            blocked=None if server.up else "the server is down",
            resident=model in server.resident,
            slots=server.profile.slots,
            running=len(server.running),
            waiting=waiting,
            busy_models=len(set(server.resident) - {model}),
            max_resident=most,
            load_seconds=self._models[pair].load_seconds,
            contested=most == 1 and demand is not None and demand.model != model,
        )

    def _running(self, server: VirtualServer) -> dict[str, int]:
        """How many tasks of each model run there."""
        running = server.running.values()
        return Counter(each.model for each in running if each.task_id not in self.requests)

    def _kept_until(self, pair: Pair) -> float:
        wanted = self._wanted[pair]
        if wanted.ended_at is None:
            return 0.0
        return wanted.ended_at + keep_seconds(
            wanted.pauses,
            load_seconds=self._models[pair].load_seconds,
            most_seconds=self._workload.interactive_keep_seconds,
        )

    def _moment(self, seconds: float) -> datetime:
        return self._epoch + timedelta(seconds=seconds)
