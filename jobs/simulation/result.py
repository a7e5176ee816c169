"""What a simulation tells: figures against their bounds, and the schedule itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from models.states import Priority


@dataclass(frozen=True, slots=True)
class ScheduledTask:
    task: str
    backend: str
    model: str
    start_seconds: float
    finish_seconds: float


@dataclass(frozen=True, slots=True)
class ScheduledLoad:
    backend: str
    model: str
    start_seconds: float
    ready_seconds: float
    evicted: str | None


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds from arrival to start."""

    p50: float
    p95: float
    max: float

    def to_json(self) -> dict[str, float]:
        return {"p50": _round(self.p50), "p95": _round(self.p95), "max": _round(self.max)}


@dataclass(frozen=True, slots=True)
class BackendUse:
    """``utilisation`` is the part of slot time that served; ``loading`` the part that loaded."""

    name: str
    tasks: int
    loads: int
    utilisation: float
    loading: float
    finish_seconds: float

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "tasks": self.tasks,
            "loads": self.loads,
            "utilisation": round(self.utilisation, 4),
            "loading": round(self.loading, 4),
            "finish_seconds": _round(self.finish_seconds),
        }


@dataclass(frozen=True, slots=True)
class Requests:
    """What people got: seconds from asking to the start of the answer, and what gave way."""

    schedule: tuple[ScheduledTask, ...]
    waits: Waits
    interruptions: int

    def to_json(self) -> dict[str, Any]:
        return {
            "answered": len(self.schedule),
            "wait_seconds": self.waits.to_json(),
            "interruptions": self.interruptions,
        }


@dataclass(frozen=True, slots=True)
class PrefillTokens:
    """Of the finished tasks: ``total``, those the servers ``computed``, and the ``least`` that any
    order could have left to compute on one server."""

    computed: int
    total: int
    least: int

    def to_json(self) -> dict[str, int]:
        return {"computed": self.computed, "total": self.total, "least": self.least}


@dataclass(frozen=True, slots=True)
class SimulationResult:
    policy: str
    workload: str
    tasks: int
    makespan_seconds: float
    lower_bound_seconds: float
    reloads: int
    reload_bound: int
    per_backend: tuple[BackendUse, ...]
    waits: Waits
    waits_by_priority: dict[Priority, Waits]
    schedule: tuple[ScheduledTask, ...]
    loads: tuple[ScheduledLoad, ...]
    unfinished: tuple[str, ...] = ()
    plans: int = 0
    requests: Requests | None = None
    prompts: PrefillTokens | None = None

    @property
    def ratio(self) -> float:
        """Makespan over its lower bound; 1.0 for nothing to do."""
        if self.lower_bound_seconds <= 0:
            return 1.0
        return self.makespan_seconds / self.lower_bound_seconds

    def to_json(self, *, schedule: bool = False) -> dict[str, Any]:
        """The document of ``kos simulate --json``; ``schedule`` adds every task and load."""
        document: dict[str, Any] = {
            "policy": self.policy,
            "workload": self.workload,
            "tasks": self.tasks,
            "makespan_seconds": _round(self.makespan_seconds),
            "lower_bound_seconds": _round(self.lower_bound_seconds),
            "ratio": round(self.ratio, 4),
            "reloads": self.reloads,
            "reload_bound": self.reload_bound,
            "per_backend": [use.to_json() for use in self.per_backend],
            "wait_seconds": self.waits.to_json(),
            "wait_seconds_by_priority": {
                priority.value: waits.to_json()
                for priority, waits in self.waits_by_priority.items()
            },
            "unfinished": list(self.unfinished),
            "plans": self.plans,
        }
        if self.requests is not None:
            document["interactive"] = self.requests.to_json()
        if self.prompts is not None:
            document["prompt_tokens"] = self.prompts.to_json()
        if schedule:
            document["schedule"] = [_task_json(entry) for entry in self.schedule]
            if self.requests is not None:
                document["requests"] = [_task_json(entry) for entry in self.requests.schedule]
            document["loads"] = [_load_json(entry) for entry in self.loads]
        return document


def waits_of(seconds: Iterable[float]) -> Waits:
    """Percentiles by nearest rank."""
    ordered = sorted(seconds)
    return Waits(_at(ordered, 0.50), _at(ordered, 0.95), ordered[-1] if ordered else 0.0)


def _at(ordered: Sequence[float], part: float) -> float:
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)] if ordered else 0.0


def _task_json(entry: ScheduledTask) -> dict[str, Any]:
    return {
        "task": entry.task,
        "backend": entry.backend,
        "model": entry.model,
        "start_seconds": entry.start_seconds,
        "finish_seconds": entry.finish_seconds,
    }


def _load_json(entry: ScheduledLoad) -> dict[str, Any]:
    return {
        "backend": entry.backend,
        "model": entry.model,
        "start_seconds": entry.start_seconds,
        "ready_seconds": entry.ready_seconds,
        "evicted": entry.evicted,
    }


def _round(seconds: float) -> float:
    return round(seconds, 3)
