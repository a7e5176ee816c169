"""What every view of the running system reads the same way: a lane's blocks, a task's progress."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from models.base import Row


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running task was at its last heartbeat; ``phase`` is None before the first."""

    phase: str | None = None
    tokens: int = 0


def progress_of(row: Row) -> Progress:
    """Of a task's row; a stranger may have written anything there."""
    told = row.get("progress")
    if not isinstance(told, Mapping):
        return Progress()
    phase, tokens = told.get("phase"), told.get("tokens")
    return Progress(str(phase) if phase else None, tokens if isinstance(tokens, int) else 0)


def lane_of(blocks: Iterable[Row], backend: str) -> list[Row]:
    """The open blocks of one backend in the order of work: those in flight, then as planned."""
    mine = [row for row in blocks if row["backend"] == backend]
    return sorted(mine, key=lambda row: (row["in_flight"] == 0, row["lane_order"]))


def done_of(block: Row) -> int:
    """How many tasks of an open block have ended or were given back."""
    return max(0, int(block["size"] - block["remaining"] - block["in_flight"]))
