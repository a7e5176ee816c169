from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.policy.types import PolicyName
from jobs.simulation.check import broken_rules
from jobs.simulation.lower_bound import bounds
from jobs.simulation.result import SimulationResult
from jobs.simulation.simulate import simulate
from jobs.simulation.workload import VirtualBackend, VirtualModel, VirtualTask, Workload
from jobs.simulation.workloads import named
from tests.support.random_workloads import workloads

POLICIES = st.sampled_from(list(PolicyName))


@settings(max_examples=80)
@given(workloads(), POLICIES, st.integers(0, 2))
def test_every_policy_keeps_the_rules_and_finishes_everything(
    workload: Workload, policy: PolicyName, dispatch_ahead: int
) -> None:
    result = simulate(
        workload,
        policy=policy,
        dispatch_ahead=dispatch_ahead,
        known_bounds=bounds(workload, exact=False),
    )

    assert broken_rules(workload, result.schedule, result.loads) == []
    assert result.unfinished == ()
    assert result.makespan_seconds >= result.lower_bound_seconds - 1e-6


@settings(max_examples=40)
@given(workloads(outages=True), POLICIES)
def test_a_server_that_dies_and_returns_loses_no_task(
    workload: Workload, policy: PolicyName
) -> None:
    result = simulate(workload, policy=policy, known_bounds=bounds(workload, exact=False))

    assert broken_rules(workload, result.schedule, result.loads) == []
    assert result.unfinished == ()


def test_a_simulation_is_the_same_every_time() -> None:
    workload = named("heavy-pairing")

    first, second = simulate(workload), simulate(workload)

    assert first == second


def test_a_policy_sees_the_means_and_never_the_true_times() -> None:
    workload = named("one-kind")
    longer = replace(
        workload,
        tasks=tuple(
            replace(task, service_seconds={p: 2 * s for p, s in task.service_seconds.items()})
            for task in workload.tasks
        ),
    )

    ordinary, slow = simulate(workload), simulate(longer)

    assert ordinary.makespan_seconds < slow.makespan_seconds
    assert first_wave(ordinary) == first_wave(slow)


def first_wave(result: SimulationResult) -> set[tuple[str, str]]:
    ready = {load.backend: load.ready_seconds for load in reversed(result.loads)}
    return {
        (entry.task, entry.backend)
        for entry in result.schedule
        if entry.start_seconds == ready[entry.backend]
    }


def test_one_task_takes_its_load_and_its_time() -> None:
    workload = Workload(
        (VirtualBackend("mlx", 1),),
        (VirtualModel("mlx", "a", 5.0, 10.0),),
        (VirtualTask("t", {("mlx", "a"): 7.0}, arrival_seconds=3.0),),
    )

    result = simulate(workload)

    assert result.makespan_seconds == 15.0
    assert result.loads[0].ready_seconds == 8.0
    assert result.waits.max == 5.0


def test_a_task_that_can_run_nowhere_is_told() -> None:
    workload = Workload(
        (VirtualBackend("mlx", 1, outages=((0.0, math.inf),)),),
        (VirtualModel("mlx", "a", 5.0, 10.0),),
        (VirtualTask("t", {("mlx", "a"): 7.0}),),
    )

    result = simulate(workload, known_bounds=bounds(replace(workload, tasks=()), exact=False))

    assert result.unfinished == ("t",)


def test_the_document_has_the_promised_fields() -> None:
    document = simulate(named("heavy-pairing")).to_json(schedule=True)

    json.dumps(document)
    assert {
        "policy", "makespan_seconds", "lower_bound_seconds", "ratio", "reloads", "reload_bound",
        "per_backend", "wait_seconds", "schedule", "loads",
    } <= set(document)  # fmt: skip
    assert set(document["wait_seconds"]) == {"p50", "p95", "max"}
    assert set(document["schedule"][0]) == {
        "task", "backend", "model", "start_seconds", "finish_seconds",
    }  # fmt: skip
    assert set(document["loads"][0]) == {
        "backend", "model", "start_seconds", "ready_seconds", "evicted",
    }  # fmt: skip


def test_mixed_meets_its_targets() -> None:
    workload = named("mixed")

    result = simulate(workload)

    assert broken_rules(workload, result.schedule, result.loads) == []
    assert result.ratio <= 1.05
    assert result.reloads <= 1.2 * result.reload_bound


@pytest.mark.parametrize("name", ["urgent-trickle", "rare-kind", "bursts"])
def test_no_task_waits_beyond_the_fairness_bound(name: str) -> None:
    workload = named(name)

    result = simulate(workload, known_bounds=bounds(workload, exact=False))

    assert result.waits.max <= workload.fairness_seconds


def test_heavy_models_do_not_run_on_two_servers_at_once() -> None:
    workload = named("heavy-pairing")
    heavy = {model.pair for model in workload.models if model.heavy}

    result = simulate(workload)

    spans = sorted(
        (entry.start_seconds, entry.finish_seconds, entry.backend)
        for entry in result.schedule
        if (entry.backend, entry.model) in heavy
    )
    ends: dict[str, float] = {}
    for start, end, backend in spans:
        others = [at for name, at in ends.items() if name != backend]
        assert all(at <= start + 1e-9 for at in others)
        ends[backend] = max(end, ends.get(backend, 0.0))
