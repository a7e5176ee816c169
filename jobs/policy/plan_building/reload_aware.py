"""The default planner: whole blocks, few reloads, balanced finishes, no starvation.

Works over a rolling window and keeps no state: the running block, the residents and the ages of
the tasks carry all that a next plan must know, so planning again does not thrash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.policy.plan_building.balance import Balance, OpenServer, balance
from jobs.policy.plan_building.block_order import order_lanes, start_order
from jobs.policy.plan_building.choices import NOT_PREFERRED_FACTOR, Choices, Option, Router
from jobs.policy.plan_building.groups import TaskGroup, group_tasks
from jobs.policy.plan_building.memory import is_warm
from jobs.policy.plan_building.timing import timed_blocks, unplaced
from jobs.policy.plan_building.urgency import UrgentPlacement, place_urgent
from jobs.policy.plan_building.whole_tasks import KeyAssignment, assign_tasks
from jobs.policy.task_order import rank_tasks
from jobs.policy.types import BlockKey, Plan, PolicyName, Snapshot, TaskRoute, TaskView
from models.states import Priority


def plan_reload_aware(snapshot: Snapshot) -> Plan:
    """Place urgent tasks, balance the rest, keep keys whole, order the lanes."""
    router = Router(snapshot)
    waiting = rank_tasks(snapshot.tasks, now=snapshot.now, config=snapshot.config)
    lanes = _lanes(snapshot)
    urgent = [task for task in waiting if task.priority is Priority.URGENT]
    placements = place_urgent(group_tasks(urgent, router), snapshot)
    groups = group_tasks(
        [task for task in waiting if task.priority is not Priority.URGENT],
        router,
        snapshot.beyond,
    )
    split = _balanced(groups, lanes, snapshot, placements)
    first = start_order(split, groups, lanes, snapshot.config, placements)
    assigned = assign_tasks(groups, split.shares, first)
    runs = _runs(assigned, placements, first, snapshot)
    return Plan(
        policy=PolicyName.RELOAD_AWARE,
        blocks=timed_blocks(
            snapshot, router, [(r.key, r.tasks) for r in runs], [r.reason for r in runs]
        ),
        routes=_routes(groups, assigned, placements, split),
        unplaced=unplaced(waiting, router),
        reason=_summary(split, len(waiting), len(runs)),
    )


@dataclass(frozen=True, slots=True)
class BlockDraft:
    key: BlockKey
    tasks: Sequence[TaskView]
    reason: str


def _lanes(snapshot: Snapshot) -> dict[str, OpenServer]:
    running: dict[str, float] = {}
    for task in snapshot.running:
        name = task.key.backend
        running[name] = running.get(name, 0.0) + task.expected_remaining_seconds
    return {
        view.name: OpenServer(view, view.slots, running.get(view.name, 0.0) / view.slots)
        for view in sorted(snapshot.backends, key=lambda view: view.name)
        if view.unavailable is None and view.slots > 0
    }


def _balanced(
    groups: Sequence[TaskGroup],
    lanes: Mapping[str, OpenServer],
    snapshot: Snapshot,
    placements: Sequence[UrgentPlacement],
) -> Balance:
    if not groups:
        return Balance((), 0.0, 0)
    config = snapshot.config
    return balance(
        groups,
        _with_urgent(lanes, placements),
        warm=_warm_keys(groups, lanes, placements),
        one_heavy=config.heavy_light_pairing and not config.allow_two_heavy,
    )


def _with_urgent(
    lanes: Mapping[str, OpenServer], placements: Sequence[UrgentPlacement]
) -> dict[str, OpenServer]:
    extra: dict[str, float] = {}
    for placement in placements:
        name = placement.key.backend
        extra[name] = extra.get(name, 0.0) + placement.work_seconds
    return {
        name: OpenServer(
            lane.view, lane.slots, lane.base_seconds + extra.get(name, 0.0) / lane.slots
        )
        for name, lane in lanes.items()
    }


def _warm_keys(
    groups: Sequence[TaskGroup],
    lanes: Mapping[str, OpenServer],
    placements: Sequence[UrgentPlacement],
) -> frozenset[BlockKey]:
    """Keys that open without a load: resident, or about to be for an urgent task."""
    opening = {placement.key for placement in placements}
    evicting = {
        placement.key.backend
        for placement in placements
        if placement.needs_load and lanes[placement.key.backend].view.max_resident <= 1
    }
    return frozenset(
        option.key
        for group in groups
        for option in group.choices.options
        if option.key in opening
        or (
            option.key.backend not in evicting
            and is_warm(lanes[option.key.backend].view, option.key)
        )
    )


def _runs(
    assigned: KeyAssignment,
    placements: Sequence[UrgentPlacement],
    first: Mapping[str, Sequence[BlockKey]],
    snapshot: Snapshot,
) -> list[BlockDraft]:
    """One run per key, urgent tasks at its head; lanes one after another."""
    urgent: dict[BlockKey, list[TaskView]] = {}
    for placement in placements:
        urgent.setdefault(placement.key, []).extend(placement.tasks)
    runs: list[BlockDraft] = []
    for lane in order_lanes(first, assigned.tasks, snapshot, placements):
        for place, (key, why) in enumerate(lane):
            tasks = [*urgent.get(key, ()), *assigned.tasks.get(key, ())]
            if tasks:
                count = "1 task" if len(tasks) == 1 else f"{len(tasks)} tasks"
                runs.append(BlockDraft(key, tasks, f"{count}, block {place + 1}: {why}"))
    return runs


def _routes(
    groups: Sequence[TaskGroup],
    assigned: KeyAssignment,
    placements: Sequence[UrgentPlacement],
    split: Balance,
) -> tuple[TaskRoute, ...]:
    routes = [
        TaskRoute(
            _ids(placement.tasks), placement.key, placement.reason, placement.choices.rejected
        )
        for placement in placements
    ]
    for number, group in enumerate(groups):
        for key, tasks in assigned.parts[number].items():
            reason = _why(group.choices, key, split.shares[number].get(key, 0.0), group.count)
            routes.append(TaskRoute(_ids(tasks), key, reason, group.choices.rejected))
    return tuple(routes)


def _ids(tasks: Sequence[TaskView]) -> tuple[str, ...]:
    return tuple(task.id for task in tasks)


def _why(choices: Choices, key: BlockKey, share: float, count: int) -> str:
    option = _option(choices, key)
    notes = [*_weighing(choices, option), *([choices.note] if choices.note else [])]
    note = "".join(f"; {text}" for text in notes)
    if len(choices.options) == 1:
        return f"no other model can take it now{note}"
    where = f"to {key.backend} (about {option.seconds:.1f} s each)"
    if count == 1:
        return f"it goes {where}: all that waits is done soonest this way{note}"
    if share > 0.995:
        return (
            f"all {count} similar tasks go {where}: all that waits is done soonest this way{note}"
        )
    return f"servers share {count} similar tasks; {share:.0%} of them go {where}{note}"


def _weighing(choices: Choices, chosen: Option) -> list[str]:
    """What spoke against the choice, and what outweighed it."""
    notes = []
    best = min(choices.options, key=lambda option: (option.weaker_by, option.key))
    if chosen.weaker_by > best.weaker_by and best.key.model != chosen.key.model:
        why = f"{chosen.key.model} is in memory" if chosen.warm else "another server is free for it"
        load = "" if best.warm else f"; to load {best.key.model} takes {best.load_seconds:.0f} s"
        notes.append(
            f"{best.key.model} is better at {choices.category.value} tasks than "
            f"{chosen.key.model}, but {why}{load}"
        )
    if not chosen.preferred:
        bound = NOT_PREFERRED_FACTOR - 1.0
        notes.append(
            f"{choices.source} is preferred, but would take more than {bound:.0%} longer"
            if any(option.preferred for option in choices.options)
            else f"{choices.source} is preferred, but no model there can take it now"
        )
    return notes


def _option(choices: Choices, key: BlockKey) -> Option:
    return next(option for option in choices.options if option.key == key)


def _summary(split: Balance, tasks: int, blocks: int) -> str:
    return (
        f"{tasks} tasks in {blocks} blocks; servers finish in about "
        f"{split.finish_seconds:.0f} s with {split.loads} loads"
    )
