"""Whether a backlog stands still although it could move, whatever the cause."""

from __future__ import annotations

from dataclasses import dataclass

STANDSTILL_SECONDS = 15.0
"""A plan takes far less. Seen by a round of health checks up to ten seconds late, and judged by one
that begins when it is due, it is red within half a minute."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The movement of the backlog at one moment. Seconds are infinite where nothing ever moved.

    ``waiting`` says that a row may run now or be assigned; ``free_slots`` counts those of
    backends that take tasks. A move is a dispatch, a claim or an outcome.
    """

    waiting: bool
    free_slots: int
    in_flight: int
    since_move_seconds: float
    since_dispatch_seconds: float
    since_cycle_seconds: float


def could_move(flow: Flow) -> bool:
    return flow.waiting and flow.free_slots > 0


def standstill(flow: Flow, *, could_move_seconds: float) -> str | None:
    """Why the backlog stands still, or None.

    While tasks run, a planner that ends its cycles may hold rows with reason: for memory, or for a
    model that has to leave. With nothing in flight there is no such reason. Nor is there one
    when no planning cycle ends: tasks that were sent earlier may still complete meanwhile.
    """
    if not could_move(flow) or could_move_seconds < STANDSTILL_SECONDS:
        return None
    planner_is_late = (
        min(flow.since_cycle_seconds, flow.since_dispatch_seconds) >= STANDSTILL_SECONDS
    )
    if not planner_is_late and (flow.in_flight or flow.since_move_seconds < STANDSTILL_SECONDS):
        return None
    cause = "no planning cycle has ended" if planner_is_late else "plans send nothing"
    return f"stands still: tasks wait and {flow.free_slots} slots are free, but {cause}"
