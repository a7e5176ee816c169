"""Bounds that no schedule can beat, whatever it knows: finish time, and loads of a good finish.

The proof sketch stands in docs/planning.md. A mixed-integer program (scipy's HiGHS) where scipy is
installed, else a Lagrangian bound in plain Python, which is somewhat lower.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace

from jobs.simulation.relaxation import Relaxation, relax
from jobs.simulation.workload import VirtualTask, Workload

GOOD_FINISH = 1.05
"""The bound on loads holds for every schedule that ends within this factor of the lower bound."""
_RELEASES = 8


@dataclass(frozen=True, slots=True)
class Bounds:
    """``reloads`` counts every load that a server must do, the first ones too."""

    makespan_seconds: float
    reloads: int
    method: str


def bounds(workload: Workload, *, exact: bool | None = None) -> Bounds:
    """Both bounds. ``exact`` None: with scipy where it is installed."""
    if not workload.tasks:
        return Bounds(0.0, 0, "nothing to do")
    use_scipy = importlib.util.find_spec("scipy") is not None if exact is None else exact
    solver = _exact if use_scipy else _plain
    makespan = _makespan(workload, solver)
    reloads = _least_loads(workload, makespan, use_scipy=use_scipy)
    return Bounds(makespan, reloads, "mixed-integer" if use_scipy else "lagrangian")


def _makespan(workload: Workload, solver: _Solver) -> float:
    longest = max(_alone(workload, task) for task in workload.tasks)
    whole = relax(workload)
    bound = max(longest, solver(whole))
    bound = max(bound, _with_outages(workload, bound, solver))
    if not workload.offline:
        bound = max(bound, *(_released(workload, at, solver) for at in _release_times(workload)))
    return bound


def _alone(workload: Workload, task: VirtualTask) -> float:
    """A task ends after its arrival and service, and after a load where its model is cold."""
    models = workload.model_by_pair
    warm = {(b.name, model) for b in workload.backends for model in b.resident}
    return min(
        max(task.arrival_seconds, 0.0 if pair in warm else models[pair].load_seconds) + seconds
        for pair, seconds in task.service_seconds.items()
    )


def _with_outages(workload: Workload, bound: float, solver: _Solver) -> float:
    """Outages that end before the bound lie within every schedule: their servers lose that time."""
    if not any(end <= bound for backend in workload.backends for _, end in backend.outages):
        return bound
    return solver(relax(workload, certain_seconds=bound, lives=solver.exact))


def _released(workload: Workload, at: float, solver: _Solver) -> float:
    """Work that arrives from ``at`` on cannot begin before; models may be loaded already."""
    late = tuple(task for task in workload.tasks if task.arrival_seconds >= at)
    free = tuple(replace(model, load_seconds=0.0) for model in workload.models)
    part = replace(
        workload,
        tasks=late,
        models=free,
        backends=tuple(replace(backend, outages=()) for backend in workload.backends),
    )
    return at + solver(relax(part))


def _release_times(workload: Workload) -> list[float]:
    arrivals = sorted({task.arrival_seconds for task in workload.tasks})
    step = max(1, len(arrivals) // _RELEASES)
    return arrivals[step::step] or arrivals[-1:]


def _least_loads(workload: Workload, makespan: float, *, use_scipy: bool) -> int:
    problem = relax(workload, certain_seconds=makespan, lives=use_scipy)
    if use_scipy:
        from jobs.simulation.mixed_integer import least_loads

        return least_loads(problem, makespan * GOOD_FINISH)
    from jobs.simulation.lagrangian import least_loads as plain_least_loads

    return plain_least_loads(problem)


class _Solver:
    """A callable from a relaxation to a valid lower bound in seconds."""

    def __init__(self, *, exact: bool) -> None:
        self.exact = exact

    def __call__(self, problem: Relaxation) -> float:
        if self.exact:
            from jobs.simulation.mixed_integer import least_finish

            return least_finish(problem)
        from jobs.simulation.lagrangian import least_finish as plain_least_finish

        return plain_least_finish(problem)


_exact = _Solver(exact=True)
_plain = _Solver(exact=False)
