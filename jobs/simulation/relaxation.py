"""A relaxed workload, for lower bounds: tasks may be divided, and changing blocks costs nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.simulation.workload import Pair, VirtualBackend, Workload

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
class ServerCapacity:
    """``loads_serially``: one resident model, so nothing is served during a load.

    ``lost_seconds`` is time before its end at which it does not serve; ``until_seconds`` when it
    dies for good.
    """

    name: str
    slots: int
    loads_serially: bool
    lost_seconds: float
    until_seconds: float


@dataclass(frozen=True, slots=True)
class Relaxation:
    """``load_seconds`` is 0 for a model that is resident from the start; ``cold`` are the pairs of
    server and model that need a load."""

    kinds: tuple[Kind, ...]
    servers: tuple[ServerCapacity, ...]
    load_seconds: Mapping[Pair, float]
    cold: frozenset[Pair]


def relax(workload: Workload, *, certain_seconds: float = 0.0, lives: bool = False) -> Relaxation:
    """Merge tasks that are alike; ignore when they arrive, their order, and that they cannot be
    divided.

    Every schedule lasts at least ``certain_seconds``, so it contains each outage that ends by then.
    A server with such outages loses their time. With ``lives`` it counts as several servers, one
    for each time between outages, and each of them must load its models again.
    """
    servers: list[ServerCapacity] = []
    places: dict[str, list[str]] = {}
    for backend in workload.backends:
        split = _lives if lives else _whole
        mine = split(backend, certain_seconds)
        servers += mine
        places[backend.name] = [server.name for server in mine]
    warm = {(b.name, model) for b in workload.backends for model in b.resident}
    used = {pair for task in workload.tasks for pair in task.service_seconds}
    loads = {
        (name, model.model): 0.0 if (name, model.model) in warm else model.load_seconds
        for model in workload.models
        if model.pair in used
        for name in places[model.backend]
    }
    return Relaxation(
        kinds=tuple(_kinds(workload, places)),
        servers=tuple(servers),
        load_seconds=loads,
        cold=frozenset(loads) - warm,
    )


def _whole(backend: VirtualBackend, certain_seconds: float) -> list[ServerCapacity]:
    lost = sum(end - start for start, end in backend.outages if end <= certain_seconds)
    return [_server(backend, backend.name, lost_seconds=lost, until_seconds=_death(backend))]


def _lives(backend: VirtualBackend, certain_seconds: float) -> list[ServerCapacity]:
    """The first life keeps the backend's name: what is resident from the start is so in it."""
    lives, name, begin = [], backend.name, 0.0
    for start, end in sorted(backend.outages):
        if end <= certain_seconds:
            lives.append(_server(backend, name, lost_seconds=begin, until_seconds=start))
            name, begin = f"{backend.name} from {end:g} s", end
    last = _server(backend, name, lost_seconds=begin, until_seconds=_death(backend))
    return [*lives, last]


def _server(
    backend: VirtualBackend, name: str, *, lost_seconds: float, until_seconds: float
) -> ServerCapacity:
    serial = backend.resident_models == 1
    return ServerCapacity(name, backend.slots, serial, lost_seconds, until_seconds)


def _death(backend: VirtualBackend) -> float:
    return min((start for start, end in backend.outages if math.isinf(end)), default=math.inf)


def _kinds(workload: Workload, places: Mapping[str, Sequence[str]]) -> list[Kind]:
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
    return [Kind(_everywhere(total, places), count) for total, count in merged.values()]


def _everywhere(
    seconds: Mapping[Pair, float], places: Mapping[str, Sequence[str]]
) -> dict[Pair, float]:
    """The same time in every life of a server."""
    return {
        (name, model): value
        for (backend, model), value in seconds.items()
        for name in places[backend]
    }
