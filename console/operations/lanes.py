"""What every view of the running system reads the same way: the blocks of a lane."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jobs.admission.limits import Limit
from jobs.admission.slots import SlotLease
from models.block import BlockInForce


def lane_of(blocks: Iterable[BlockInForce], backend: str) -> list[BlockInForce]:
    """The open blocks of one backend in the order of work: those in flight, then as planned."""
    mine = [row for row in blocks if row.backend == backend]
    return sorted(mine, key=lambda row: (row.in_flight == 0, row.lane_order))


def done_of(block: BlockInForce) -> int:
    """How many tasks of an open block have ended or returned to the backlog."""
    return max(0, block.size - block.remaining - block.in_flight)


def binding(limit: Limit, held: Sequence[SlotLease]) -> tuple[int, str]:
    """How many calls may run now, and what bounds them. Where only heavy models run, and as many
    as may, that is their own limit."""
    full_of_heavy = len(held) >= limit.heavy and all(lease.heavy for lease in held)
    if not held or not full_of_heavy or limit.heavy >= limit.slots:
        return limit.slots, limit.reason
    return limit.heavy, f"{limit.heavy} of {limit.slots}: heavy models at most {limit.heavy}"
