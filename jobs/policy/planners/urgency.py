"""Where urgent tasks run: where their first answer begins soonest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.policy.planners.balance import drain_seconds
from jobs.policy.planners.choices import Choices, Option
from jobs.policy.planners.groups import Group
from jobs.policy.planners.timing import is_warm
from jobs.policy.types import BackendView, BlockKey, RunningTask, Snapshot, TaskView


@dataclass(frozen=True, slots=True)
class UrgentHome:
    """Urgent tasks of one group and the key that takes them."""

    key: BlockKey
    tasks: Sequence[TaskView]
    choices: Choices
    needs_load: bool
    work_seconds: float
    reason: str


def place_urgent(groups: Sequence[Group], snapshot: Snapshot) -> list[UrgentHome]:
    """One home per group; a group that follows another to an opened key pays no second load."""
    views = {view.name: view for view in snapshot.backends}
    opened: dict[str, BlockKey] = {}
    busy: dict[str, float] = {}
    homes = []
    for group in groups:
        waits = {
            option.key: _wait(option, views[option.key.backend], snapshot.running, opened)
            + busy.get(option.key.backend, 0.0)
            for option in group.choices.options
        }
        best = min(group.choices.options, key=lambda o: (waits[o.key] + o.seconds, o.rank, o.key))
        home = _home(group, best, views[best.key.backend], waits[best.key], opened)
        homes.append(home)
        opened[best.key.backend] = best.key
        slots = max(1, views[best.key.backend].slots)
        busy[best.key.backend] = (
            busy.get(best.key.backend, 0.0)
            + max(0, len(group.tasks) - slots + 1) * best.seconds / slots
        )
    return homes


def _wait(
    option: Option,
    view: BackendView,
    running: Sequence[RunningTask],
    opened: dict[str, BlockKey],
) -> float:
    """Seconds until the first task may begin: a slot, or a drain and a load."""
    ahead = opened.get(view.name)
    if ahead is not None:
        return (
            0.0
            if ahead == option.key
            else option.load_seconds + drain_seconds(option.seconds, view.slots)
        )
    here = [r.expected_remaining_seconds for r in running if r.key.backend == view.name]
    free = len(here) < view.slots
    if is_warm(view, option.key):
        return 0.0 if free else min(here) / 2.0
    if len(view.resident) < view.max_resident or view.max_resident > 1:
        return option.load_seconds
    return option.load_seconds + max(here, default=0.0)


def _home(
    group: Group,
    best: Option,
    view: BackendView,
    wait: float,
    opened: dict[str, BlockKey],
) -> UrgentHome:
    needs_load = not is_warm(view, best.key) and opened.get(view.name) != best.key
    how = "after a drain and a load" if needs_load else "without a load"
    return UrgentHome(
        key=best.key,
        tasks=tuple(group.tasks),
        choices=group.choices,
        needs_load=needs_load,
        work_seconds=best.seconds * len(group.tasks),
        reason=f"urgent: begins here soonest, in about {wait:.1f} s {how}",
    )
