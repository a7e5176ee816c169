from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from jobs.simulation.lower_bound import bounds
from jobs.simulation.simulate import simulate
from jobs.simulation.workload import VirtualBackend, VirtualModel, VirtualTask, Workload
from jobs.simulation.workloads import named
from tests.support.random_workloads import workloads

ONE = Workload(
    (VirtualBackend("s", 2),),
    (VirtualModel("s", "a", 5.0, 10.0), VirtualModel("s", "b", 3.0, 10.0)),
    tuple(VirtualTask(f"a{n}", {("s", "a"): 10.0}) for n in range(4))
    + tuple(VirtualTask(f"b{n}", {("s", "b"): 10.0}) for n in range(2)),
)


@pytest.mark.parametrize("exact", [True, False])
def test_a_server_with_one_resident_needs_its_work_and_its_loads(exact: bool) -> None:
    found = bounds(ONE, exact=exact)

    assert found.makespan_seconds == pytest.approx(38.0, rel=1e-3)
    assert found.reloads == 2


@pytest.mark.parametrize("exact", [True, False])
def test_what_is_resident_needs_no_load(exact: bool) -> None:
    warm = replace(ONE, backends=(VirtualBackend("s", 2, resident=("a",)),))

    found = bounds(warm, exact=exact)

    assert found.makespan_seconds == pytest.approx(33.0, rel=1e-3)
    assert found.reloads == 1


def test_the_longest_task_bounds_the_finish() -> None:
    long = VirtualTask("long", {("s", "a"): 500.0})

    found = bounds(replace(ONE, tasks=(*ONE.tasks, long)), exact=True)

    assert found.makespan_seconds == pytest.approx(505.0)


def test_late_arrivals_bound_the_finish() -> None:
    late = tuple(replace(task, arrival_seconds=100.0) for task in ONE.tasks)

    found = bounds(replace(ONE, tasks=late), exact=True)

    assert found.makespan_seconds == pytest.approx(130.0, rel=1e-3)


def test_an_outage_that_nobody_can_wait_out_counts() -> None:
    down = replace(ONE, backends=(VirtualBackend("s", 2, outages=((10.0, 20.0),)),))

    assert bounds(down, exact=False).makespan_seconds == pytest.approx(48.0, rel=1e-3)


def test_after_an_outage_a_server_must_load_again() -> None:
    down = replace(ONE, backends=(VirtualBackend("s", 2, outages=((10.0, 20.0),)),))

    found = bounds(down, exact=True)

    # Best: 3 s load and 7 s of b; then 5 s load and 20 s of a, 3 s load and the last 3 s of b.
    assert found.makespan_seconds == pytest.approx(51.0, rel=1e-3)
    assert found.reloads == 3


def test_what_was_resident_is_not_so_after_an_outage() -> None:
    warm = VirtualBackend("s", 2, resident=("b",), outages=((10.0, 20.0),))

    found = bounds(replace(ONE, backends=(warm,)), exact=True)

    # All of b before it, then 5 s load and 20 s of a.
    assert found.makespan_seconds == pytest.approx(45.0, rel=1e-3)
    assert found.reloads == 1


def test_more_loads_are_needed_for_a_good_finish_than_for_any() -> None:
    assert bounds(named("mixed"), exact=True).reloads == 5
    assert bounds(named("mixed"), exact=False).reloads == 4


def test_the_plain_bound_is_nearly_as_good() -> None:
    workload = named("mixed")

    exact, plain = bounds(workload, exact=True), bounds(workload, exact=False)

    assert 0.95 * exact.makespan_seconds <= plain.makespan_seconds
    assert plain.makespan_seconds <= exact.makespan_seconds * 1.0001


@settings(max_examples=40)
@given(workloads(offline=True))
def test_no_schedule_beats_either_bound(workload: Workload) -> None:
    exact, plain = bounds(workload, exact=True), bounds(workload, exact=False)

    result = simulate(workload, known_bounds=exact)

    assert result.makespan_seconds >= exact.makespan_seconds - 1e-6
    assert result.makespan_seconds >= plain.makespan_seconds - 1e-6
    assert plain.makespan_seconds <= exact.makespan_seconds * 1.001 + 1e-6
    if result.makespan_seconds <= 1.05 * exact.makespan_seconds:
        assert result.reloads >= exact.reloads
