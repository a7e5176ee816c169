"""The values of state columns, and which state may follow which. Standard library only."""

from __future__ import annotations

from enum import StrEnum


class TaskState(StrEnum):
    """``pending -> queued -> in_progress -> completed | failed | cancelled``."""

    PENDING = "pending"
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in FINAL_STATES


FINAL_STATES = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED})

TRANSITIONS: dict[TaskState, frozenset[TaskState]] = {
    TaskState.PENDING: frozenset({TaskState.QUEUED, TaskState.FAILED, TaskState.CANCELLED}),
    TaskState.QUEUED: frozenset({TaskState.IN_PROGRESS, TaskState.PENDING, TaskState.CANCELLED}),
    TaskState.IN_PROGRESS: frozenset(
        {TaskState.COMPLETED, TaskState.FAILED, TaskState.PENDING, TaskState.CANCELLED}
    ),
    TaskState.COMPLETED: frozenset(),
    TaskState.FAILED: frozenset({TaskState.PENDING}),
    TaskState.CANCELLED: frozenset({TaskState.PENDING}),
}


class Priority(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    URGENT = "urgent"

    @property
    def rank(self) -> int:
        """0 for low up to 3 for urgent."""
        return _PRIORITY_RANK[self]


STEP_OF_PRIORITY_SECONDS = 900.0
"""One step of priority counts as this much waiting: ``kos_plan_order`` in SQL, and the default of
the fairness bound.

``jobs.policy.task_order`` explains all four orders.
"""

_PRIORITY_RANK = {Priority.LOW: 0, Priority.MEDIUM: 1, Priority.HIGH: 2, Priority.URGENT: 3}


class AttemptOutcome(StrEnum):
    """How one attempt ended. Only ``retried`` and ``failed`` count against the attempt bound."""

    COMPLETED = "completed"
    RETRIED = "retried"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    LOST = "lost"
    TAKEN_OVER = "taken_over"
