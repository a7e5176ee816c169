"""The runs, and what they say against the targets."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TextIO

from benchmarks.scheduling.snapshots import large_snapshot
from jobs.policy.plan import plan
from jobs.policy.types import PlanningConfig, PolicyName
from jobs.simulation.check import broken_rules
from jobs.simulation.lower_bound import Bounds, bounds
from jobs.simulation.result import SimulationResult
from jobs.simulation.simulate import simulate
from jobs.simulation.workload import Workload
from jobs.simulation.workloads import named
from models.states import Priority

MEAN_RATIO = 1.05
WORST_RATIO = 1.15
RELOAD_FACTOR = 1.2
PLAN_MILLISECONDS = 50.0
FAIRNESS_COST = 0.10
CONTENDED = ("overload", "rare-kind", "urgent-trickle")


@dataclass(frozen=True, slots=True)
class Run:
    """One policy on one workload. ``urgent_bound``: longest drain and load an urgent task met."""

    workload: Workload
    result: SimulationResult
    broken: int
    seconds: float

    @property
    def urgent_bound_seconds(self) -> float:
        """One block boundary (the p95 of a running task's length) and one load."""
        lengths = sorted(e.finish_seconds - e.start_seconds for e in self.result.schedule)
        drain = lengths[int(0.95 * (len(lengths) - 1))] if lengths else 0.0
        return drain + max(model.load_seconds for model in self.workload.models)

    @property
    def urgent_p95_seconds(self) -> float | None:
        waits = self.result.waits_by_priority.get(Priority.URGENT)
        return None if waits is None else waits.p95


@dataclass(frozen=True, slots=True)
class Summary:
    """``ratios``: geometric mean over the offline workloads, by policy."""

    ratios: dict[str, float]
    worst: float
    reload_factor: float
    worst_reload_factor: float
    fairness_cost: float
    plan_milliseconds: float
    met: bool

    @staticmethod
    def of(runs: Sequence[Run], *, fairness: float, plan_milliseconds: float) -> Summary:
        offline = [run for run in runs if run.workload.offline]
        ours = [r.result for r in offline if r.result.policy == PolicyName.RELOAD_AWARE.value]
        ratios = {
            policy.value: geometric(
                run.result.ratio for run in offline if run.result.policy == policy.value
            )
            for policy in PolicyName
        }
        factors = [result.reloads / max(1, result.reload_bound) for result in ours]
        worst = max((result.ratio for result in ours), default=1.0)
        mean_factor, worst_factor = geometric(factors), max(factors, default=1.0)
        return Summary(
            ratios=ratios,
            worst=worst,
            reload_factor=mean_factor,
            worst_reload_factor=worst_factor,
            fairness_cost=fairness,
            plan_milliseconds=plan_milliseconds,
            met=ratios[PolicyName.RELOAD_AWARE.value] <= MEAN_RATIO
            and worst <= WORST_RATIO
            and mean_factor <= RELOAD_FACTOR
            and fairness <= FAIRNESS_COST
            and plan_milliseconds <= PLAN_MILLISECONDS
            and not any(run.broken for run in runs),
        )


def run_all(names: Iterable[str], policies: Sequence[PolicyName], *, progress: TextIO) -> list[Run]:
    """Bounds once per workload, then every policy, each schedule checked."""
    runs = []
    for name in names:
        workload = named(name)
        known = bounds(workload)
        for policy in policies:
            runs.append(_run(workload, policy, known))
            progress.write(f"{name} {policy.value}: {runs[-1].seconds:.1f} s\n")
    return runs


def fairness_cost() -> float:
    """The largest part by which the fairness bound lengthens a contended online workload."""
    costs = []
    for name in CONTENDED:
        workload = named(name)
        known = bounds(workload, exact=False)
        fair = simulate(workload, known_bounds=known)
        free = simulate(replace(workload, fairness_seconds=1e9), known_bounds=known)
        costs.append(fair.makespan_seconds / free.makespan_seconds - 1.0)
    return max(costs)


def plan_milliseconds(repeats: int = 20) -> float:
    """Median time of one plan over 2,000 tasks and five backends."""
    snapshot = large_snapshot(PlanningConfig())
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        plan(snapshot)
        times.append((time.perf_counter() - started) * 1000.0)
    return statistics.median(times)


def geometric(values: Iterable[float]) -> float:
    """Geometric mean; 1.0 of nothing."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs)) if logs else 1.0


def _run(workload: Workload, policy: PolicyName, known: Bounds) -> Run:
    started = time.perf_counter()
    result = simulate(workload, policy=policy, known_bounds=known)
    seconds = time.perf_counter() - started
    broken = len(broken_rules(workload, result.schedule, result.loads))
    return Run(workload, result, broken, seconds)
