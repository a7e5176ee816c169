"""Whether a backlog stands still although it could move, whatever the cause."""

from __future__ import annotations

from dataclasses import dataclass

STANDSTILL_SECONDS = 18.0
"""A plan takes far less; with a round of health checks it is red within half a minute."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What is seen of the backlog at one moment. Seconds are infinite where nothing ever was.

    ``waiting`` says that a row may run now or be given an expert; ``free_slots`` counts those of
    backends that take tasks.
    """

    waiting: bool
    free_slots: int
    in_flight: int
    since_move_seconds: float
    since_cycle_seconds: float


def could_move(flow: Flow) -> bool:
    return flow.waiting and flow.free_slots > 0


def standstill(flow: Flow, *, could_move_seconds: float) -> str | None:
    """Why the backlog stands still, or None.

    While tasks run, a planner that ends its cycles may hold rows with reason: for memory, or for a
    model that has to leave. With nothing in flight there is no such reason.
    """
    still_seconds = min(could_move_seconds, flow.since_move_seconds)
    if not could_move(flow) or still_seconds < STANDSTILL_SECONDS:
        return None
    planner_is_late = flow.since_cycle_seconds >= STANDSTILL_SECONDS
    if flow.in_flight and not planner_is_late:
        return None
    cause = "no planning cycle has ended" if planner_is_late else "plans send nothing"
    return f"stands still: tasks wait and {flow.free_slots} slots are free, but {cause}"
