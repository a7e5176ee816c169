"""From shares to whole tasks: which task of a group goes to which key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.policy.plan_building.groups import TaskGroup
from jobs.policy.types import BlockKey, TaskView


@dataclass(frozen=True, slots=True)
class KeyAssignment:
    """``tasks[key]`` in the order in which they start; ``parts[g][key]`` the same by group."""

    tasks: Mapping[BlockKey, list[TaskView]]
    parts: Sequence[Mapping[BlockKey, Sequence[TaskView]]]


def assign_tasks(
    groups: Sequence[TaskGroup],
    shares: Sequence[Mapping[BlockKey, float]],
    lanes: Mapping[str, Sequence[BlockKey]],
) -> KeyAssignment:
    """The first tasks of a group go to the key that starts first; every task goes somewhere."""
    place = {key: number for keys in lanes.values() for number, key in enumerate(keys)}
    parts: list[dict[BlockKey, Sequence[TaskView]]] = []
    for group, share in zip(groups, shares, strict=True):
        ordered = sorted(share, key=lambda key: (place.get(key, len(place)), key))
        counts = _whole(len(group.tasks), [share[key] for key in ordered])
        part: dict[BlockKey, Sequence[TaskView]] = {}
        taken = 0
        for key, count in zip(ordered, counts, strict=True):
            if count:
                part[key] = group.tasks[taken : taken + count]
                taken += count
        parts.append(part)
    return KeyAssignment(_merged(groups, parts), parts)


def _whole(total: int, shares: Sequence[float]) -> list[int]:
    """Largest remainders: whole numbers that sum to ``total``."""
    scale = total / (sum(shares) or 1.0)
    exact = [share * scale for share in shares]
    counts = [int(value + 1e-9) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: (counts[i] - exact[i], i))
    for index in by_remainder[: total - sum(counts)]:
        counts[index] += 1
    return counts


def _merged(
    groups: Sequence[TaskGroup], parts: Sequence[Mapping[BlockKey, Sequence[TaskView]]]
) -> dict[BlockKey, list[TaskView]]:
    """Tasks of several groups at one key, by the rank that the groups' order of tasks carries."""
    merged: dict[BlockKey, list[TaskView]] = {}
    touched: set[BlockKey] = set()
    for part in parts:
        for key, tasks in part.items():
            if key in merged:
                touched.add(key)
            merged.setdefault(key, []).extend(tasks)
    if touched:
        rank = {task.id: n for n, task in enumerate(_interleaved(groups))}
        for key in touched:
            merged[key].sort(key=lambda task: rank[task.id])
    return merged


def _interleaved(groups: Sequence[TaskGroup]) -> list[TaskView]:
    ordered = [(group.ranks[n], task) for group in groups for n, task in enumerate(group.tasks)]
    ordered.sort(key=lambda entry: entry[0])
    return [task for _, task in ordered]
