"""When a waiting task's turn comes, as the plan in force has it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from models import attempt, block

PRIOR_VARIATION = 0.5
"""Of the durations at a model with too few attempts to tell: deviation over mean."""
FEWEST_ATTEMPTS = 5
PLAN_ERROR = 0.15
"""What a plan is off by even where every duration is known: servers speed up and slow down."""


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """``before`` tasks of the same block start earlier; ``expected_at`` is the plan's estimate, and
    ``spread`` by which fraction of the time until then it may be off, either way."""

    backend: str
    model: str
    before: int
    expected_at: datetime | None
    spread: float = 0.0


def position_of(task_id: str) -> QueuePosition | None:
    """None where no block in force holds the task. Needs a session."""
    place = block.place_of(task_id)
    if place is None or place.index < place.next_index:
        return None
    seconds = place.start_seconds + place.index / place.size * max(
        0.0, place.finish_seconds - place.start_seconds
    )
    return QueuePosition(
        backend=place.backend,
        model=place.model,
        before=place.index - place.next_index,
        expected_at=place.planned_at + timedelta(seconds=seconds),
        spread=spread_of(place.index - place.next_index, _variation(place.backend, place.model)),
    )


def spread_of(before: int, variation: float) -> float:
    """The relative error of a start after ``before`` tasks whose durations vary by ``variation``.

    The errors of many tasks level out, that of the plan itself does not.
    """
    return min(1.0, math.hypot(PLAN_ERROR, variation / math.sqrt(before + 1)))


def _variation(backend: str, model: str) -> float:
    attempts, variation = attempt.variation(backend, model)
    return variation if attempts >= FEWEST_ATTEMPTS else PRIOR_VARIATION
