"""People ask while a backlog runs on the virtual clock."""

from __future__ import annotations

import pytest

from jobs.policy.types import PolicyName
from jobs.simulation.check import broken_rules
from jobs.simulation.lower_bound import bounds
from jobs.simulation.result import Requests, SimulationResult
from jobs.simulation.simulate import simulate
from jobs.simulation.workload import (
    VirtualBackend,
    VirtualModel,
    VirtualRequest,
    VirtualTask,
    Workload,
)

LOAD_SECONDS = 30.0
PATIENCE_SECONDS = 10.0


def workload(*, task_seconds: float) -> Workload:
    """A backlog of one model; a person asks for it every five seconds, another for a cold one."""
    names = ("first", "second")
    asked = [("backlog", 5.0 * number) for number in range(16)]
    asked += [("chat", at) for at in (20.0, 60.0, 62.0)]
    places = {model: {(name, model): 1.0 for name in names} for model in ("backlog", "chat")}
    return Workload(
        backends=tuple(VirtualBackend(name, 4, resident=("backlog",)) for name in names),
        models=tuple(
            VirtualModel(name, model, LOAD_SECONDS, task_seconds)
            for name in names
            for model in ("backlog", "chat")
        ),
        tasks=tuple(
            VirtualTask(f"t{n}", dict.fromkeys(places["backlog"], task_seconds)) for n in range(120)
        ),
        interactive=tuple(
            VirtualRequest(f"{model}{number}", places[model], at)
            for number, (model, at) in enumerate(asked)
        ),
        interactive_patience_seconds=PATIENCE_SECONDS,
        interactive_keep_seconds=60.0,
    )


def simulated(work: Workload) -> tuple[SimulationResult, Requests]:
    known = bounds(work.with_requests_as_tasks, exact=False)
    result = simulate(work, known_bounds=known)
    assert result.requests is not None
    assert result.unfinished == ()
    everything = [*result.schedule, *result.requests.schedule]
    assert broken_rules(work.with_requests_as_tasks, everything, result.loads) == []
    return result, result.requests


def waits(work: Workload, requests: Requests, model: str) -> list[float]:
    arrivals = {request.id: request.arrival_seconds for request in work.interactive}
    return [
        entry.start_seconds - arrivals[entry.task]
        for entry in requests.schedule
        if entry.model == model
    ]


def test_a_model_in_memory_answers_at_once_and_a_cold_one_after_its_load() -> None:
    work = workload(task_seconds=4.0)

    result, requests = simulated(work)

    assert len(requests.schedule) == len(work.interactive)
    assert max(waits(work, requests, "backlog")) == 0
    assert max(waits(work, requests, "chat")) <= PATIENCE_SECONDS + LOAD_SECONDS
    assert result.reloads <= 2, "the model is loaded for the burst, and the backlog's once after it"
    assert requests.interruptions == 0


def test_tasks_longer_than_the_patience_are_interrupted_and_run_again() -> None:
    work = workload(task_seconds=40.0)

    _, requests = simulated(work)

    assert requests.interruptions > 0
    assert max(waits(work, requests, "chat")) <= PATIENCE_SECONDS + LOAD_SECONDS + 1e-6


def test_the_bound_knows_when_people_ask() -> None:
    work = workload(task_seconds=4.0)

    result, requests = simulated(work)

    assert result.reload_bound >= 1
    assert result.makespan_seconds >= result.lower_bound_seconds
    document = result.to_json(schedule=True)
    assert document["interactive"]["answered"] == len(work.interactive)
    assert len(document["requests"]) == len(requests.schedule)


@pytest.mark.parametrize("policy", [PolicyName.FIFO, PolicyName.SEED])
def test_every_policy_answers_people(policy: PolicyName) -> None:
    work = workload(task_seconds=4.0)
    known = bounds(work.with_requests_as_tasks, exact=False)

    result = simulate(work, policy=policy, known_bounds=known)

    assert result.requests is not None
    assert len(result.requests.schedule) == len(work.interactive)
    assert result.unfinished == ()
