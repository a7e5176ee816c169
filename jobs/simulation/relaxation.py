"""A workload as a fluid: work may be cut anywhere, and nothing is lost between blocks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from jobs.simulation.workload import Pair, Workload

TOLERANCE = 1e-6
"""Tasks whose times are proportional to this precision are one kind."""


@dataclass(frozen=True, slots=True)
class Kind:
    """All tasks with the same places and proportional times, as one divisible piece of work.

    ``seconds[pair]`` is the slot time it takes if all of it runs there; ``count`` its tasks.
    """

    seconds: Mapping[Pair, float]
    count: int


@dataclass(frozen=True, slots=True)
class Server:
    """``loads_serially``: one resident model, so nothing is served during a load.

    ``lost_seconds`` is time at which it was down; ``until_seconds`` when it dies for good.
    """

    name: str
    slots: int
    loads_serially: bool
    lost_seconds: float
    until_seconds: float


@dataclass(frozen=True, slots=True)
class Relaxation:
    """``load_seconds`` is 0 for what is resident from the start; ``cold`` are the others."""

    kinds: tuple[Kind, ...]
    servers: tuple[Server, ...]
    load_seconds: Mapping[Pair, float]
    cold: frozenset[Pair]


def relax(workload: Workload, *, lost_seconds: Mapping[str, float] | None = None) -> Relaxation:
    """Merge what is alike; forget arrivals, order and indivisibility."""
    lost = lost_seconds or {}
    warm = {(b.name, model) for b in workload.backends for model in b.resident}
    used = {pair for task in workload.tasks for pair in task.service_seconds}
    return Relaxation(
        kinds=tuple(_kinds(workload)),
        servers=tuple(
            Server(
                backend.name,
                backend.slots,
                backend.resident_models == 1,
                lost.get(backend.name, 0.0),
                min((s for s, e in backend.outages if math.isinf(e)), default=math.inf),
            )
            for backend in workload.backends
        ),
        load_seconds={
            m.pair: 0.0 if m.pair in warm else m.load_seconds
            for m in workload.models
            if m.pair in used
        },
        cold=frozenset(used - warm),
    )


def _kinds(workload: Workload) -> list[Kind]:
    merged: dict[tuple[tuple[Pair, float], ...], tuple[dict[Pair, float], int]] = {}
    for task in workload.tasks:
        scale = max(task.service_seconds.values()) or 1.0
        shape = tuple(
            (pair, round(seconds / scale, 7))
            for pair, seconds in sorted(task.service_seconds.items())
        )
        total, count = merged.get(shape, ({}, 0))
        for pair, seconds in task.service_seconds.items():
            total[pair] = total.get(pair, 0.0) + seconds
        merged[shape] = (total, count + 1)
    return [Kind(total, count) for total, count in merged.values()]
