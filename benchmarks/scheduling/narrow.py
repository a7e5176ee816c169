"""Narrow workloads: two servers, two or three models each, drawn by seed; where the time goes.

A bound knows no drains and takes tasks for divisible. Each workload also runs with the mean as the
length of every task: what is lost then is due to whole tasks, and the rest to lengths unknown.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.scheduling.measures import MEAN_RATIO, geometric
from jobs.simulation.result import SimulationResult
from jobs.simulation.simulate import simulate
from jobs.simulation.workload import VirtualBackend, VirtualModel, VirtualTask, Workload
from jobs.simulation.workloads import FAST, MIX, MLX, OLLAMA, REASONING, SIGMA
from llm.types import BackendKind

FEWEST, MOST = 300, 1000


@dataclass(frozen=True, slots=True)
class Narrow:
    """``longest`` is the longest task over the bound, ``drains`` and ``end`` the parts of all slot
    time that were idle before a load and at the end, ``known`` the ratio with equal lengths."""

    name: str
    tasks: int
    bound_seconds: float
    longest: float
    ratio: float
    known: float
    drains: float
    end: float


def measured(seeds: Sequence[int]) -> list[Narrow]:
    return [_measured(seed) for seed in seeds]


def as_text(rows: Sequence[Narrow]) -> str:
    lines = [
        f"{'workload':12}{'tasks':>6}{'bound':>7}{'longest/bound':>15}{'ratio':>7}"
        f"{'equal lengths':>15}{'drains':>8}{'end':>7}\n"
    ]
    lines += [
        f"{row.name:12}{row.tasks:>6}{row.bound_seconds:>7.0f}{row.longest:>15.2f}"
        f"{row.ratio:>7.3f}{row.known:>15.3f}{row.drains:>8.1%}{row.end:>7.1%}\n"
        for row in rows
    ]
    over = sum(row.ratio > MEAN_RATIO for row in rows)
    return "".join(lines) + (
        f"geometric mean {geometric(row.ratio for row in rows):.3f}, {over} of {len(rows)} above "
        f"{MEAN_RATIO}; with equal lengths {geometric(row.known for row in rows):.3f}\n"
    )


def workload(seed: int, *, sigma: float = SIGMA) -> Workload:
    """Kinds, slots and counts are those of the seed, whatever ``sigma`` is."""
    chance = random.Random(seed)
    kinds = chance.sample(list(MIX), chance.choice((2, 3)))
    servers = [
        (VirtualBackend("mlx", chance.randint(2, 4), 1, BackendKind.MLX), MLX),
        (VirtualBackend("ollama", chance.randint(2, 4), 1, BackendKind.OLLAMA), OLLAMA),
    ]
    models = [
        VirtualModel(server.name, one.model, one.load_seconds, one.mean_seconds, one.heavy)
        for server, profiles in servers
        for one in profiles
        if one.category in kinds
    ]
    means = {
        kind: {
            (server.name, one.model): one.mean_seconds
            for server, profiles in servers
            for one in profiles
            if one.category is kind
        }
        for kind in kinds
    }
    tasks = []
    for number in range(chance.randint(FEWEST, MOST)):
        (kind,) = chance.choices(kinds, [MIX[kind] for kind in kinds])
        factor = chance.lognormvariate(-sigma * sigma / 2.0, sigma)
        service = {place: seconds * factor for place, seconds in means[kind].items()}
        complexity = {FAST: 0.2, REASONING: 0.8}.get(kind, 0.5)
        tasks.append(VirtualTask(f"t{number:05}", service, category=kind, complexity=complexity))
    backends = tuple(server for server, _ in servers)
    return Workload(backends, tuple(models), tuple(tasks), f"narrow-{seed}")


def _measured(seed: int) -> Narrow:
    drawn = workload(seed)
    result = simulate(drawn)
    slots = {backend.name: backend.slots for backend in drawn.backends}
    drains, end = _idle(result, slots)
    longest = max(min(task.service_seconds.values()) for task in drawn.tasks)
    return Narrow(
        name=drawn.name,
        tasks=len(drawn.tasks),
        bound_seconds=result.lower_bound_seconds,
        longest=longest / result.lower_bound_seconds,
        ratio=result.ratio,
        known=simulate(workload(seed, sigma=0.0)).ratio,
        drains=drains,
        end=end,
    )


def _idle(result: SimulationResult, slots: dict[str, int]) -> tuple[float, float]:
    """(drains, end): parts of all slot time in which a slot did nothing and nothing was loaded."""
    whole = result.makespan_seconds * sum(slots.values())
    idle = end = 0.0
    for use in result.per_backend:
        count = slots[use.name]
        served = (use.utilisation + use.loading) * count * result.makespan_seconds
        last = sorted(e.finish_seconds for e in result.schedule if e.backend == use.name)[-count:]
        at_end = sum(result.makespan_seconds - moment for moment in last)
        idle += count * result.makespan_seconds - served - at_end
        end += at_end
    return idle / whole, end / whole
