"""The checker must see every kind of broken rule: each test breaks one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs.simulation.check import broken_rules
from jobs.simulation.result import ScheduledLoad, ScheduledTask
from jobs.simulation.workload import VirtualBackend, VirtualModel, VirtualTask, Workload

WORKLOAD = Workload(
    (VirtualBackend("s", 2),),
    (VirtualModel("s", "a", 5.0, 10.0), VirtualModel("s", "b", 3.0, 10.0)),
    (
        VirtualTask("t1", {("s", "a"): 10.0}),
        VirtualTask("t2", {("s", "a"): 10.0}),
        VirtualTask("t3", {("s", "b"): 10.0}, arrival_seconds=4.0),
    ),
)
SCHEDULE = (
    ScheduledTask("t1", "s", "a", 5.0, 15.0),
    ScheduledTask("t2", "s", "a", 5.0, 15.0),
    ScheduledTask("t3", "s", "b", 18.0, 28.0),
)
LOADS = (ScheduledLoad("s", "a", 0.0, 5.0, None), ScheduledLoad("s", "b", 15.0, 18.0, "a"))


def test_a_valid_schedule_breaks_nothing() -> None:
    assert broken_rules(WORKLOAD, SCHEDULE, LOADS) == []


@pytest.mark.parametrize(
    ("place", "changes", "said"),
    [
        (0, {"task": "t2"}, "t2 ran 2 times"),
        (0, {"task": "t9"}, "not in the workload"),
        (0, {"model": "b"}, "may not run"),
        (0, {"finish_seconds": 12.0}, "t1 ran 7.0 of"),
        (0, {"start_seconds": 4.0, "finish_seconds": 14.0}, "not resident"),
        (1, {"start_seconds": 6.0, "finish_seconds": 16.0}, "not resident"),
        (2, {"start_seconds": 3.0, "finish_seconds": 13.0}, "before it arrived"),
    ],
)
def test_a_wrong_task_is_found(place: int, changes: dict[str, object], said: str) -> None:
    schedule = list(SCHEDULE)
    schedule[place] = replace(schedule[place], **changes)  # type: ignore[arg-type]

    assert any(said in rule for rule in broken_rules(WORKLOAD, schedule, LOADS))


@pytest.mark.parametrize(
    ("place", "changes", "said"),
    [
        (0, {"ready_seconds": 2.0}, "loaded in 2.0 of 5.0 s"),
        (1, {"evicted": None}, "held 2 models"),
        (1, {"evicted": "b"}, "was not there"),
        (1, {"model": "c"}, "no model c"),
        (1, {"start_seconds": 12.0, "ready_seconds": 15.0}, "not resident"),
    ],
)
def test_a_wrong_load_is_found(place: int, changes: dict[str, object], said: str) -> None:
    loads = list(LOADS)
    loads[place] = replace(loads[place], **changes)  # type: ignore[arg-type]

    assert any(said in rule for rule in broken_rules(WORKLOAD, SCHEDULE, loads))


def test_too_many_at_once_are_found() -> None:
    tight = replace(WORKLOAD, backends=(VirtualBackend("s", 1),))

    assert any("with 1 slots" in rule for rule in broken_rules(tight, SCHEDULE, LOADS))


def test_a_missing_task_is_found() -> None:
    assert broken_rules(WORKLOAD, SCHEDULE[1:], LOADS) == ["t1 never ran"]
    assert broken_rules(WORKLOAD, SCHEDULE[1:], LOADS, all_tasks=False) == []


def test_a_second_load_of_what_is_there_is_found() -> None:
    loads = (*LOADS, ScheduledLoad("s", "b", 20.0, 23.0, None))

    assert any("which was there" in rule for rule in broken_rules(WORKLOAD, SCHEDULE, loads))
