"""What a priority is worth: one table for the four places that turn it into an order.

======================  ==========================================================================
Where                   Rule
======================  ==========================================================================
the window of rows      ``kos_plan_order`` (SQL, indexed): a step counts as 15 minutes of waiting
a task in its block     `rank_tasks`: urgent, overdue by age, then priority, bug probability, age
a block in its lane     ``planners.lanes``: urgent, overdue, warm, then mean priority of its tasks
what is sent now        ``dispatch``: urgent blocks first, then the order of the lane
======================  ==========================================================================

The first two agree: the fairness bound is 15 minutes, too, so a task that is not overdue has not
waited long enough to gain a step.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from jobs.policy.types import PlanningConfig, TaskView
from models.states import Priority

OVERDUE_PART = 0.8
"""A task that has waited this part of the fairness bound goes before all but urgent ones."""


def rank_tasks(
    tasks: Iterable[TaskView], *, now: datetime, config: PlanningConfig
) -> list[TaskView]:
    """Urgent first, then overdue by age, then priority, bug probability, age, id."""
    overdue_before = now.timestamp() - OVERDUE_PART * config.fairness_seconds

    def order(task: TaskView) -> tuple[int, int, float, float, str]:
        created = task.created_at.timestamp()
        if task.priority is Priority.URGENT:
            return 0, 0, 0.0, created, task.id
        if created <= overdue_before:
            return 1, 0, 0.0, created, task.id
        return 2, -task.priority.rank, -(task.bug_probability or 0.0), created, task.id

    return sorted(tasks, key=order)
