"""What a priority is worth: one table for the five places that turn it into an order.

======================  ==========================================================================
Where                   Rule
======================  ==========================================================================
rows without an expert  ``kos_priority_rank`` (SQL, indexed): by priority alone, then by age
the window of rows      ``kos_plan_order`` (SQL, indexed): a step counts as 15 minutes of waiting
a task in its block     `rank_tasks`: urgent, overdue by age, then priority (grouped by prefix)
a block in its lane     ``plan_building.lanes``: urgent, overdue, warm, then mean priority
what is sent now        ``dispatch``: urgent blocks first, then the order of the lane
======================  ==========================================================================

The first place assigns whole pages and reaches every row soon, so age is not weighed there. The
next two agree: the fairness bound is 15 minutes, too, so a task that is not overdue has not
waited long enough to gain a step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby

from jobs.policy.types import PlanningConfig, TaskView
from models.states import Priority

OVERDUE_PART = 0.8
"""A task that has waited this part of the fairness bound goes before all but urgent ones."""


def rank_tasks(
    tasks: Iterable[TaskView], *, now: datetime, config: PlanningConfig
) -> list[TaskView]:
    """Urgent first, then overdue by age, then priority, bug probability, age, id.

    Tasks of one priority that are not overdue are grouped by ``prefix``: a server that has read
    the beginning of a prompt need not read it again for the next one. An overdue task leaves its
    group, so grouping delays nobody beyond the fairness bound.
    """
    overdue_before = now.timestamp() - OVERDUE_PART * config.fairness_seconds

    def order(task: TaskView) -> tuple[int, int, float, float, str]:
        created = task.created_at.timestamp()
        if task.priority is Priority.URGENT:
            return 0, 0, 0.0, created, task.id
        if created <= overdue_before:
            return 1, 0, 0.0, created, task.id
        return 2, -task.priority.rank, -(task.bug_probability or 0.0), created, task.id

    ordered: list[TaskView] = []
    for step, run in groupby(sorted(tasks, key=order), key=lambda task: order(task)[:2]):
        tied = list(run)
        ordered += _by_prefix(tied) if step[0] == 2 else tied
    return ordered


def prompt_prefix(expert_id: str | None, system: str, files: Sequence[str]) -> tuple[str, ...]:
    """What a prompt begins with, as values to compare: its system message, then its files.

    ``system`` is a message of the task's own, which replaces the persona of its expert ("": none);
    its hash stands for it, so that the lines of a batch that share one are alike.
    """
    own = hashlib.sha256(system.encode("utf-8", "surrogatepass")).hexdigest() if system else ""
    return (own or expert_id or "", *files)


def _by_prefix(tasks: Iterable[TaskView]) -> list[TaskView]:
    """The same tasks, each beside those that share its longest prefix: all of its persona, and
    within them all of its files.

    The smallest group comes first, then the one whose first task does: a group that has begun only
    becomes smaller, so the next plan goes on with it. By age the next plan would begin another.
    """
    personas: dict[str, dict[tuple[str, ...], list[TaskView]]] = {}
    for task in tasks:
        persona = task.prefix[0] if task.prefix else ""
        personas.setdefault(persona, {}).setdefault(task.prefix, []).append(task)
    in_order = sorted(personas.values(), key=lambda files: sum(map(len, files.values())))
    return [
        task for files in in_order for group in sorted(files.values(), key=len) for task in group
    ]
