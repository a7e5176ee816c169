"""Where urgent tasks run: where their first answer begins soonest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.policy.plan_building.choices import Choices, Option
from jobs.policy.plan_building.groups import TaskGroup
from jobs.policy.plan_building.memory import is_warm
from jobs.policy.types import BackendView, BlockKey, RunningTask, Snapshot, TaskView


@dataclass(frozen=True, slots=True)
class UrgentPlacement:
    """Urgent tasks of one group and the key that takes them."""

    key: BlockKey
    tasks: Sequence[TaskView]
    choices: Choices
    needs_load: bool
    work_seconds: float
    reason: str


def place_urgent(groups: Sequence[TaskGroup], snapshot: Snapshot) -> list[UrgentPlacement]:
    """One placement per group; a group that follows another waits for it, or shares its model."""
    views = {view.name: view for view in snapshot.backends}
    opened: dict[str, _Opened] = {}
    placements = []
    for group in groups:
        waits = {
            option.key: _wait(option, views[option.key.backend], snapshot.running, opened)
            for option in group.choices.options
        }
        best = min(
            group.choices.options,
            key=lambda o: (waits[o.key] + o.seconds * o.weight, o.rank, o.key),
        )
        view, wait = views[best.key.backend], waits[best.key]
        placements.append(_placement(group, best, view, wait, opened.get(view.name)))
        rounds = math.ceil(len(group.tasks) / max(1, view.slots))
        opened[view.name] = _Opened(best.key, wait, wait + rounds * best.seconds)
    return placements


@dataclass(frozen=True, slots=True)
class _Opened:
    """What earlier urgent tasks do to a server: its model, ready at, done at."""

    key: BlockKey
    ready_seconds: float
    done_seconds: float


def _wait(
    option: Option,
    view: BackendView,
    running: Sequence[RunningTask],
    opened: Mapping[str, _Opened],
) -> float:
    """Seconds until the first task may begin: a slot, or a drain and a load."""
    ahead = opened.get(view.name)
    if ahead is not None and ahead.key == option.key:
        return ahead.ready_seconds
    if ahead is not None:
        return ahead.done_seconds + option.load_seconds
    here = [task.expected_remaining_seconds for task in running if task.key.backend == view.name]
    if is_warm(view, option.key):
        return 0.0 if len(here) < view.slots else min(here)
    if view.max_resident > 1:
        return option.load_seconds
    return option.load_seconds + max(here, default=0.0)


def _placement(
    group: TaskGroup,
    best: Option,
    view: BackendView,
    wait: float,
    ahead: _Opened | None,
) -> UrgentPlacement:
    follows = ahead is not None and ahead.key == best.key
    needs_load = not follows and (ahead is not None or not is_warm(view, best.key))
    how = (
        "once running tasks end and its model is loaded"
        if needs_load
        else "with its model in memory"
    )
    return UrgentPlacement(
        key=best.key,
        tasks=tuple(group.tasks),
        choices=group.choices,
        needs_load=needs_load,
        work_seconds=best.seconds * len(group.tasks),
        reason=f"urgent: it starts here first, in about {wait:.1f} s, {how}",
    )
