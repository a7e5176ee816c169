"""Tasks that may run at the same keys at the same expected cost are one group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobs.policy.plan_building.choices import Choices, Router
from jobs.policy.types import FurtherTasks, TaskView


@dataclass(slots=True)
class TaskGroup:
    """``tasks`` are in the order in which they shall start, ``ranks`` their places among all;
    ``beyond`` more wait outside the window."""

    choices: Choices
    tasks: list[TaskView] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    beyond: int = 0

    @property
    def count(self) -> int:
        return len(self.tasks) + self.beyond


def group_tasks(
    tasks: Sequence[TaskView], router: Router, beyond: Sequence[FurtherTasks] = ()
) -> list[TaskGroup]:
    """Groups in the order of their first task; those that may run nowhere are left out."""
    groups: dict[int, TaskGroup] = {}
    further: Mapping[str, int] = {more.like: more.count for more in beyond}
    for place, task in enumerate(tasks):
        choices = router.choices(task)
        if not choices.options:
            continue
        group = groups.get(id(choices))
        if group is None:
            group = groups[id(choices)] = TaskGroup(choices)
        group.tasks.append(task)
        group.ranks.append(place)
        if further:
            group.beyond += further.get(task.id, 0)
    return list(groups.values())
