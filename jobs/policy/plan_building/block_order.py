"""The order of the blocks of one server.

Urgent first; then a block whose oldest task is overdue by a clear margin; then the block that is
running, for it needs no load; then higher priorities; then long tasks before short ones, so that
the last to finish are short and the servers end together. A small part of a group that another
server also serves comes last: it makes the servers end together, and by then their real speeds are
known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial

from jobs.policy.plan_building.balance import Balance, OpenServer
from jobs.policy.plan_building.choices import Option
from jobs.policy.plan_building.fairness import bring_forward, margin_seconds, oldest_age
from jobs.policy.plan_building.groups import TaskGroup
from jobs.policy.plan_building.memory import is_warm
from jobs.policy.plan_building.urgency import UrgentPlacement
from jobs.policy.types import BackendView, BlockKey, PlanningConfig, Snapshot, TaskView

CORRECTION_PART = 0.06
"""A shared block shorter than this part of the finish is such a correction."""


def start_order(
    split: Balance,
    groups: Sequence[TaskGroup],
    lanes: Mapping[str, OpenServer],
    config: PlanningConfig,
    placements: Sequence[UrgentPlacement],
) -> dict[str, list[BlockKey]]:
    """The keys of every server in the order in which they would run, before ages are known."""
    parts = _parts(split, groups)
    urgent = list(dict.fromkeys(placement.key for placement in placements))
    order: dict[str, list[BlockKey]] = {}
    for name, lane in lanes.items():
        keys = [key for key in parts if key.backend == name and key not in urgent]
        order[name] = sorted(keys, key=partial(_rank, lane, parts, split.finish_seconds))
    order = _paired(order, parts, lanes, config)
    return {
        name: [*(key for key in urgent if key.backend == name), *keys]
        for name, keys in order.items()
    }


def order_lanes(
    lanes: Mapping[str, Sequence[BlockKey]],
    tasks: Mapping[BlockKey, Sequence[TaskView]],
    snapshot: Snapshot,
    placements: Sequence[UrgentPlacement],
) -> list[list[tuple[BlockKey, str]]]:
    """The blocks of each server in order, overdue ones first, each with the reason for its
    position."""
    views = {view.name: view for view in snapshot.backends}
    loads = {(model.backend, model.name): model.load_seconds for model in snapshot.models}
    urgent = {placement.key for placement in placements}
    ordered = []
    for name, keys in lanes.items():
        first = [key for key in keys if key in urgent]
        ages = {key: oldest_age(tasks[key], snapshot) for key in keys if tasks.get(key)}
        fair = bring_forward(
            [key for key in keys if key not in urgent],
            ages,
            running=views[name].current,
            margins={key: margin_seconds(snapshot.config, loads, key) for key in keys},
            config=snapshot.config,
        )
        reasons = _Reasons(views[name], ages, urgent, frozenset(fair.overdue))
        ordered.append([(key, reasons.of(key)) for key in [*first, *fair.keys]])
    return ordered


def _rank(
    lane: OpenServer, parts: Mapping[BlockKey, _Part], finish_seconds: float, key: BlockKey
) -> tuple[bool, bool, int, bool, float, BlockKey]:
    part = parts[key]
    small = part.work_seconds / lane.slots < CORRECTION_PART * finish_seconds
    return (
        lane.view.current != key,
        not is_warm(lane.view, key),
        -part.priority,
        part.shared and small,
        -part.option.seconds,
        key,
    )


@dataclass(slots=True)
class _Part:
    """What a key got: slot seconds of work, tasks, the sum of their priority ranks."""

    option: Option
    work_seconds: float = 0.0
    tasks: float = 0.0
    ranks: float = 0.0
    shared: bool = False

    @property
    def priority(self) -> int:
        return round(self.ranks / (self.tasks or 1.0))


def _parts(split: Balance, groups: Sequence[TaskGroup]) -> dict[BlockKey, _Part]:
    parts: dict[BlockKey, _Part] = {}
    for group, share in zip(groups, split.shares, strict=True):
        options = {option.key: option for option in group.choices.options}
        rank = sum(task.priority.rank for task in group.tasks) / max(1, len(group.tasks))
        for key, portion in share.items():
            part = parts.setdefault(key, _Part(options[key]))
            count = portion * group.count
            part.work_seconds += count * options[key].seconds
            part.tasks += count
            part.ranks += count * rank
            part.shared = part.shared or len(share) > 1
    return parts


def _paired(
    order: dict[str, list[BlockKey]],
    parts: Mapping[BlockKey, _Part],
    lanes: Mapping[str, OpenServer],
    config: PlanningConfig,
) -> dict[str, list[BlockKey]]:
    """One server begins heavy, the others light, where two heavy models do not fit the host."""
    if config.allow_two_heavy or not config.heavy_light_pairing or len(order) < 2:
        return order

    def heavy(key: BlockKey) -> bool:
        return key in parts and parts[key].option.heavy

    def begins_heavy(name: str) -> tuple[bool, int, str]:
        current = lanes[name].view.current
        return not (current is not None and heavy(current)), -sum(map(heavy, order[name])), name

    leader = min(order, key=begins_heavy)
    return {
        name: keys if name == leader else sorted(keys, key=heavy) for name, keys in order.items()
    }


@dataclass(frozen=True, slots=True)
class _Reasons:
    view: BackendView
    ages: Mapping[BlockKey, float]
    urgent: Set[BlockKey]
    overdue: Set[BlockKey]

    def of(self, key: BlockKey) -> str:
        if key in self.urgent:
            return "urgent tasks need its model"
        if key in self.overdue:
            return (
                f"its oldest task has waited {self.ages[key]:.0f} s, near the longest wait allowed"
            )
        if self.view.current == key:
            return "its model runs now, nothing has to be loaded"
        if is_warm(self.view, key):
            return "its model is in memory, nothing has to be loaded"
        return "long tasks go first, so that all servers finish together"
