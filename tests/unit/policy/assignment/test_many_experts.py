"""Assignment stays flat in the number of experts, and the index chooses as a comparison would."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jobs.policy.assignment import AssignTask, assign
from jobs.policy.team import ExpertView, Team

ROLES = ("Engineer", "Writer", "Юрист", "Researcher", "Analyst")
DEPARTMENTS = ("Backend", "Docs", "Legal", "R&D", "Маркетинг", "")
TASKS = (
    AssignTask("Fix the REST endpoint"),
    AssignTask("Проверь договор"),
    AssignTask("Lorem ipsum dolor"),
    AssignTask("Deploy", assignee_hint="Backend"),
)


def company(size: int) -> list[ExpertView]:
    return [
        ExpertView(str(n), f"Expert {n}", ROLES[n % len(ROLES)], DEPARTMENTS[n % len(DEPARTMENTS)])
        for n in range(size)
    ]


def calls_of(team: Team) -> int:
    """Function calls that the assignment of the tasks takes: steps, not seconds."""
    for task in TASKS:
        assign(task, team)
    count = 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        for task in TASKS:
            team.add_load(assign(task, team).expert_id or "")
    finally:
        sys.setprofile(None)
    return count


def test_ten_thousand_experts_take_as_many_steps_as_a_hundred() -> None:
    few, many = calls_of(Team(company(100), loads={})), calls_of(Team(company(10_000), loads={}))

    assert many <= few * 1.2


@given(taken=st.lists(st.sampled_from(TASKS), max_size=12))
def test_loads_that_are_added_one_by_one_choose_as_loads_known_from_the_start(
    taken: list[AssignTask],
) -> None:
    experts, loads = company(40), dict[str, int]()
    team = Team(experts, loads={})
    for task in taken:
        choice = assign(task, team)
        assert choice == assign(task, Team(experts, loads=loads))
        assert choice.expert_id is not None
        team.add_load(choice.expert_id)
        loads[choice.expert_id] = loads.get(choice.expert_id, 0) + 1


def test_a_team_starts_from_other_loads() -> None:
    team = Team(company(12), loads={})
    first = assign(TASKS[0], team).expert_id
    assert first is not None

    team.start_from({first: 5})

    assert assign(TASKS[0], team).expert_id != first
