"""What a priority is worth: one table for the five places that turn it into an order.

======================  ==========================================================================
Where                   Rule
======================  ==========================================================================
rows without an expert  ``kos_priority_rank`` (SQL, indexed): by priority alone, then by age
the window of rows      ``kos_plan_order`` (SQL, indexed): a step counts as 15 minutes of waiting
a task in its block     `rank_tasks`: urgent, overdue by age, priority; each step grouped by prefix
a block in its lane     ``order_lanes``: urgent, overdue, warm, then mean priority
what is sent now        ``dispatch``: urgent blocks first, then the order of the lane
======================  ==========================================================================

The first place assigns whole pages and reaches every row soon, so age is not weighed there. The
next two agree: the fairness bound is 15 minutes, too, so a task that is not overdue has not
waited long enough to gain a step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby

from jobs.policy.prompt_groups import IN_ORDER, group_of, persona_of
from jobs.policy.types import PlanningConfig, TaskView
from models.states import Priority

OVERDUE_PART = 0.8
"""A task that has waited this part of the fairness bound goes before all but urgent ones."""
SLICE_PART = 0.15
"""Overdue tasks whose ages differ by less than this part of the bound count as equally old: the
same margin by which one block may overtake another."""


def rank_tasks(
    tasks: Sequence[TaskView], *, now: datetime, config: PlanningConfig
) -> list[TaskView]:
    """Urgent first, then overdue by age, then priority, bug probability, age, id.

    Within a step (one priority; of the overdue, one slice of age too) tasks are grouped by
    ``prefix``: a server that has read the beginning of a prompt need not read it again for the
    next one. An overdue task leaves its group, so grouping delays nobody beyond the fairness
    bound by more than a slice.
    """
    ordered: list[TaskView] = []
    for step, run in _steps(tasks, now, config):
        ordered += run if step == _URGENT else _by_prefix(run)
    return ordered


def prompt_groups(
    tasks: Sequence[TaskView], *, now: datetime, config: PlanningConfig
) -> tuple[int, ...]:
    """The group of each task, from which a freed slot chooses; none where no choice saves
    reading."""
    groups: dict[str, int] = {}
    for number, (step, run) in enumerate(_steps(tasks, now, config), start=1):
        for task in run:
            groups[task.id] = IN_ORDER if step == _URGENT else group_of(task, number)
    personas = [persona_of(group) for group in groups.values() if group != IN_ORDER]
    if not 1 < len(set(personas)) < len(personas):
        return ()
    return tuple(groups[task.id] for task in tasks)


_Step = tuple[int, int, int]
_URGENT: _Step = (0, 0, 0)


def _steps(
    tasks: Iterable[TaskView], now: datetime, config: PlanningConfig
) -> Iterator[tuple[_Step, list[TaskView]]]:
    overdue_before = now.timestamp() - OVERDUE_PART * config.fairness_seconds
    slice_seconds = SLICE_PART * config.fairness_seconds

    def step(task: TaskView) -> _Step:
        created = task.created_at.timestamp()
        if task.priority is Priority.URGENT:
            return _URGENT
        if created <= overdue_before:
            # Fixed in time, so that the next plan cuts the same slices.
            return 1, int(created // slice_seconds), -task.priority.rank
        return 2, 0, -task.priority.rank

    def order(task: TaskView) -> tuple[_Step, float, datetime, str]:
        bug_probability = 0.0 if step(task) == _URGENT else task.bug_probability or 0.0
        return step(task), -bug_probability, task.created_at, task.id

    for found, run in groupby(sorted(tasks, key=order), key=step):
        yield found, list(run)


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
