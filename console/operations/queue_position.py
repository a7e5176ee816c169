"""When a waiting task's turn comes, as the plan in force has it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from models import block


@dataclass(frozen=True, slots=True)
class Turn:
    """``before`` tasks of the same block start earlier; ``expected_at`` is the plan's estimate."""

    backend: str
    model: str
    before: int
    expected_at: datetime | None


def turn_of(task_id: str) -> Turn | None:
    """None where no block in force holds the task. Needs a session."""
    place = block.place_of(task_id)
    if place is None or place.index < place.next_index:
        return None
    seconds = place.start_seconds + place.index / place.size * max(
        0.0, place.finish_seconds - place.start_seconds
    )
    return Turn(
        backend=place.backend,
        model=place.model,
        before=place.index - place.next_index,
        expected_at=place.planned_at + timedelta(seconds=seconds),
    )
