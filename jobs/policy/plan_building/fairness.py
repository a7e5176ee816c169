"""No block waits for ever: the one whose oldest task is overdue passes the one that runs.

The margin keeps two overdue blocks from taking turns: after a switch the block that left must fall
behind by the margin before it comes back, which takes about as long as the margin. So a server
turns over at most once a margin, and loads cost at most about a tenth of its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.policy.types import BlockKey, PlanningConfig, Snapshot, TaskView

MARGIN_PART = 0.15
"""An overdue block passes the running one where it is older by its margin: this part of the
fairness bound, or ``MARGIN_LOADS`` of its loads where that is more."""
MARGIN_LOADS = 10.0
"""The least margin of a block, in its own load times."""
DUE_PART = 0.8
"""A block is overdue when its age reaches this part of the fairness bound, less its margin. The
rest of the bound is for the drain of the running block and the load."""
DUE_AT_LEAST = 0.25
"""No block is overdue before this part of the fairness bound, however large its margin is."""


@dataclass(frozen=True, slots=True)
class FairOrder:
    """``overdue`` are the keys that came forward for their age."""

    keys: tuple[BlockKey, ...]
    overdue: tuple[BlockKey, ...]


def bring_forward(
    keys: Sequence[BlockKey],
    ages: Mapping[BlockKey, float],
    *,
    running: BlockKey | None,
    margins: Mapping[BlockKey, float],
    config: PlanningConfig,
) -> FairOrder:
    """Overdue keys first, oldest first in steps so that ties keep their order."""
    bound = config.fairness_seconds
    step = max(bound * MARGIN_PART, 1e-9)
    lead = ages.get(running) if running is not None else None
    late = [
        key
        for key in keys
        if key in ages
        and key != running
        and ages[key] >= max(DUE_AT_LEAST * bound, DUE_PART * bound - margins[key])
        and (lead is None or ages[key] - lead >= margins[key])
    ]
    late.sort(key=lambda key: -int(ages[key] / step))
    return FairOrder((*late, *(key for key in keys if key not in late)), tuple(late))


def margin_seconds(
    config: PlanningConfig, loads: Mapping[tuple[str, str], float], key: BlockKey
) -> float:
    """How much older than the running block a block must be to pass it."""
    load = loads.get((key.backend, key.model), 0.0)
    return max(config.fairness_seconds * MARGIN_PART, MARGIN_LOADS * load)


def oldest_age(tasks: Sequence[TaskView], snapshot: Snapshot) -> float:
    """Seconds that the oldest of the tasks has waited."""
    return (snapshot.now - min(task.created_at for task in tasks)).total_seconds()
