"""Simulates a workload under a policy and compares the figures with their bounds."""

from __future__ import annotations

from jobs.policy.types import PlanningConfig, PolicyName
from jobs.simulation.engine import SimulatedRun, run
from jobs.simulation.lower_bound import Bounds, bounds
from jobs.simulation.prompts import prompt_tokens
from jobs.simulation.result import BackendUse, Requests, SimulationResult, Waits, waits_of
from jobs.simulation.workload import VirtualBackend, Workload
from models.states import Priority


def simulate(
    workload: Workload,
    *,
    policy: PolicyName = PolicyName.RELOAD_AWARE,
    config: PlanningConfig | None = None,
    dispatch_ahead: int = 0,
    known_bounds: Bounds | None = None,
) -> SimulationResult:
    """Run a workload under a policy.

    ``config`` overrides the planner's settings (its policy wins); ``dispatch_ahead`` is
    what is sent beyond the slots; ``known_bounds`` saves finding the bounds again for another
    policy.
    """
    config = config or PlanningConfig(
        policy=policy,
        fairness_seconds=workload.fairness_seconds,
        allow_two_heavy=workload.allow_two_heavy,
    )
    history = run(workload, config, dispatch_ahead=dispatch_ahead)
    bound = known_bounds or bounds(workload.with_requests_as_tasks)
    makespan = max(
        (entry.finish_seconds for entry in (*history.schedule, *history.requests)), default=0.0
    )
    everyone, by_priority = _waits(workload, history)
    return SimulationResult(
        policy=config.policy.value,
        workload=workload.name,
        tasks=len(workload.tasks),
        makespan_seconds=makespan,
        lower_bound_seconds=bound.makespan_seconds,
        reloads=len(history.loads),
        reload_bound=bound.reloads,
        per_backend=tuple(_use(backend, history, makespan) for backend in workload.backends),
        waits=everyone,
        waits_by_priority=by_priority,
        schedule=history.schedule,
        loads=history.loads,
        unfinished=history.unfinished,
        plans=history.plans,
        requests=_request_figures(workload, history),
        prompts=prompt_tokens(workload, history.schedule, history.loads),
    )


def _waits(workload: Workload, history: SimulatedRun) -> tuple[Waits, dict[Priority, Waits]]:
    tasks = {task.id: task for task in workload.tasks}
    by_priority: dict[Priority, list[float]] = {}
    for entry in history.schedule:
        task = tasks[entry.task]
        by_priority.setdefault(task.priority, []).append(entry.start_seconds - task.arrival_seconds)
    everyone = [wait for waits in by_priority.values() for wait in waits]
    return waits_of(everyone), {
        priority: waits_of(by_priority[priority])
        for priority in sorted(by_priority, key=lambda p: p.rank)
    }


def _request_figures(workload: Workload, history: SimulatedRun) -> Requests | None:
    if not workload.interactive:
        return None
    arrivals = {request.id: request.arrival_seconds for request in workload.interactive}
    waits = [entry.start_seconds - arrivals[entry.task] for entry in history.requests]
    return Requests(history.requests, waits_of(waits), history.interruptions)


def _use(backend: VirtualBackend, history: SimulatedRun, makespan: float) -> BackendUse:
    tasks = [entry for entry in history.schedule if entry.backend == backend.name]
    loads = [entry for entry in history.loads if entry.backend == backend.name]
    served = sum(entry.finish_seconds - entry.start_seconds for entry in tasks)
    loading = sum(entry.ready_seconds - entry.start_seconds for entry in loads)
    whole = makespan or 1.0
    return BackendUse(
        name=backend.name,
        tasks=len(tasks),
        loads=len(loads),
        utilisation=served / (whole * backend.slots),
        loading=loading / whole,
        finish_seconds=max((entry.finish_seconds for entry in tasks), default=0.0),
    )
