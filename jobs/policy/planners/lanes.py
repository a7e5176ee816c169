"""The order of the blocks of one server.

Urgent first; then a block whose oldest task is overdue by a clear margin; then the block that is
running, for it needs no load; then higher priorities; then long tasks before short ones, so that
the last to finish are short and the servers end together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from functools import partial

from jobs.policy.planners.balance import Balance, Lane
from jobs.policy.planners.choices import Option
from jobs.policy.planners.groups import Group
from jobs.policy.planners.timing import is_warm
from jobs.policy.planners.urgency import UrgentHome
from jobs.policy.types import BackendView, BlockKey, PlanningConfig, Snapshot, TaskView

MARGIN_PART = 0.25
"""An overdue block passes the running one when older by this part of the fairness bound."""
MARGIN_LOADS = 10.0
"""... and by this many loads, so that turning over costs at most about a tenth."""


def start_order(
    split: Balance,
    groups: Sequence[Group],
    lanes: Mapping[str, Lane],
    config: PlanningConfig,
    homes: Sequence[UrgentHome],
) -> dict[str, list[BlockKey]]:
    """The keys of every server in the order in which they would run, before ages are known."""
    options = {o.key: o for group in groups for o in group.choices.options}
    priorities = _priorities(split, groups)
    urgent = list(dict.fromkeys(home.key for home in homes))
    order: dict[str, list[BlockKey]] = {}
    for name, lane in lanes.items():
        keys = [key for key in priorities if key.backend == name and key not in urgent]
        order[name] = sorted(keys, key=partial(_rank, lane.view, options, priorities))
    order = _paired(order, options, lanes, config)
    return {
        name: [*(key for key in urgent if key.backend == name), *keys]
        for name, keys in order.items()
    }


def order_lanes(
    lanes: Mapping[str, Sequence[BlockKey]],
    tasks: Mapping[BlockKey, Sequence[TaskView]],
    snapshot: Snapshot,
    homes: Sequence[UrgentHome],
) -> list[list[tuple[BlockKey, str]]]:
    """Per server its keys, overdue ones brought forward, each with the reason of its place."""
    views = {view.name: view for view in snapshot.backends}
    loads = {(model.backend, model.name): model.load_seconds for model in snapshot.models}
    urgent = {home.key for home in homes}
    ordered = []
    for name, keys in lanes.items():
        view = views[name]
        first = [key for key in keys if key in urgent]
        fair = _fair([key for key in keys if key not in urgent], tasks, view, snapshot, loads)
        ordered.append(_explained([*first, *fair], tasks, view, snapshot, urgent))
    return ordered


def _rank(
    view: BackendView,
    options: Mapping[BlockKey, Option],
    priorities: Mapping[BlockKey, float],
    key: BlockKey,
) -> tuple[bool, bool, int, float, BlockKey]:
    cold = not is_warm(view, key)
    return view.current != key, cold, -round(priorities[key]), -options[key].seconds, key


def _priorities(split: Balance, groups: Sequence[Group]) -> dict[BlockKey, float]:
    """The mean priority rank of the tasks of each key."""
    weight: dict[BlockKey, float] = {}
    total: dict[BlockKey, float] = {}
    for group, share in zip(groups, split.shares, strict=True):
        ranks = sum(task.priority.rank for task in group.tasks) / max(1, len(group.tasks))
        for key, part in share.items():
            weight[key] = weight.get(key, 0.0) + part * len(group.tasks)
            total[key] = total.get(key, 0.0) + part * len(group.tasks) * ranks
    return {key: total[key] / (weight[key] or 1.0) for key in weight}


def _paired(
    order: dict[str, list[BlockKey]],
    options: Mapping[BlockKey, Option],
    lanes: Mapping[str, Lane],
    config: PlanningConfig,
) -> dict[str, list[BlockKey]]:
    """One server begins heavy, the others light, where two heavy models do not fit the host."""
    if config.allow_two_heavy or not config.heavy_light_pairing or len(order) < 2:
        return order

    def heavy(key: BlockKey) -> bool:
        return key in options and options[key].heavy

    def begins_heavy(name: str) -> tuple[bool, int, str]:
        current = lanes[name].view.current
        return not (current is not None and heavy(current)), -sum(map(heavy, order[name])), name

    leader = min(order, key=begins_heavy)
    return {
        name: keys if name == leader else sorted(keys, key=heavy) for name, keys in order.items()
    }


def _fair(
    keys: list[BlockKey],
    tasks: Mapping[BlockKey, Sequence[TaskView]],
    view: BackendView,
    snapshot: Snapshot,
    loads: Mapping[tuple[str, str], float],
) -> list[BlockKey]:
    """Overdue blocks come forward, oldest first, in steps of the margin so that ties stay put."""
    ages = {key: _oldest_age(tasks[key], snapshot) for key in keys if tasks.get(key)}
    bound = snapshot.config.fairness_seconds
    margins = {
        key: max(bound * MARGIN_PART, MARGIN_LOADS * loads.get((key.backend, key.model), 0.0))
        for key in keys
    }
    running = view.current if view.current in ages else None

    def lateness(key: BlockKey) -> int:
        age = ages.get(key, 0.0)
        return int(age / max(margins[key], 1e-9)) if age >= bound else 0

    ordered = sorted(keys, key=lambda key: -lateness(key))
    if running is None:
        return ordered
    ahead = [
        key
        for key in ordered
        if key in ages and ages[key] >= bound and ages[key] - ages[running] >= margins[key]
    ]
    rest = [key for key in ordered if key not in ahead and key != running]
    return [*ahead, running, *rest]


def _oldest_age(tasks: Sequence[TaskView], snapshot: Snapshot) -> float:
    return (snapshot.now - min(task.created_at for task in tasks)).total_seconds()


def _explained(
    keys: Sequence[BlockKey],
    tasks: Mapping[BlockKey, Sequence[TaskView]],
    view: BackendView,
    snapshot: Snapshot,
    urgent: Set[BlockKey],
) -> list[tuple[BlockKey, str]]:
    lane = []
    for key in keys:
        age = _oldest_age(tasks[key], snapshot) if tasks.get(key) else 0.0
        lane.append((key, _why_here(key, age, view, snapshot, urgent)))
    return lane


def _why_here(
    key: BlockKey,
    age: float,
    view: BackendView,
    snapshot: Snapshot,
    urgent: Set[BlockKey],
) -> str:
    if key in urgent:
        return "urgent tasks wait for it"
    if view.current == key:
        return "its model is running, no load"
    if age >= snapshot.config.fairness_seconds:
        return f"its oldest task has waited {age:.0f} s, beyond the fairness bound"
    if is_warm(view, key):
        return "its model is resident, no load"
    return "after the blocks before it; long tasks first, so that servers end together"
