"""What every view of the running system reads the same way: the blocks of a lane."""

from __future__ import annotations

from collections.abc import Iterable

from models.base import Row


def lane_of(blocks: Iterable[Row], backend: str) -> list[Row]:
    """The open blocks of one backend in the order of work: those in flight, then as planned."""
    mine = [row for row in blocks if row["backend"] == backend]
    return sorted(mine, key=lambda row: (row["in_flight"] == 0, row["lane_order"]))


def done_of(block: Row) -> int:
    """How many tasks of an open block have ended or returned to the backlog."""
    return max(0, int(block["size"] - block["remaining"] - block["in_flight"]))
