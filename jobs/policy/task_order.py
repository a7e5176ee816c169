"""The order in which waiting tasks of one block start: urgency, overdue, priority with age."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from jobs.policy.types import PlanningConfig, TaskView
from models.states import Priority

AGE_STEPS = 3
"""Within the fairness bound a task gains a rank this many times; urgent is never reached."""
OVERDUE_PART = 0.8
"""A task that has waited this part of the fairness bound goes before all but urgent ones."""


def rank_tasks(
    tasks: Iterable[TaskView], *, now: datetime, config: PlanningConfig
) -> list[TaskView]:
    """Urgent first, then overdue by age, then (aged) priority, bug probability, age, id."""
    moment = now.timestamp()
    step = max(config.fairness_seconds, 1e-9) / AGE_STEPS
    keyed = []
    for task in tasks:
        created = task.created_at.timestamp()
        age = moment - created
        if task.priority is Priority.URGENT:
            keyed.append((0, 0, 0.0, created, task.id, task))
        elif age >= OVERDUE_PART * config.fairness_seconds:
            keyed.append((1, 0, 0.0, created, task.id, task))
        else:
            gained = int(age / step) if age > 0 else 0
            rank = min(task.priority.rank + gained, Priority.HIGH.rank)
            keyed.append((2, -rank, -(task.bug_probability or 0.0), created, task.id, task))
    keyed.sort(key=lambda entry: entry[:5])
    return [entry[5] for entry in keyed]
