"""Rows of ``tasks`` as values, one class for each reader of the backlog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.attempt import TaskAttempt


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTask:
    """A task in a list. Null columns have what the system takes them for; ``expert`` is a name,
    ``custom_id`` the idempotency key, ``thumb`` up or down."""

    id: str
    title: str | None
    status: str
    priority: str
    category: str | None
    expert: str | None
    backend: str | None
    model: str | None
    attempt_count: int
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    result: str | None
    last_error: str | None
    validation_score: float | None
    custom_id: str | None
    project: str | None
    thumb: str | None
    thumb_note: str | None
    tags: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeTask(ListedTask):
    """A task with everything that people see of it. ``metadata`` and ``progress`` are foreign JSON;
    ``attempts`` are empty unless they were read with it."""

    description: str | None
    metadata: Any
    epoch: int
    crash_count: int
    complexity: float | None
    next_attempt_at: datetime | None
    cancel_requested_at: datetime | None
    queued_at: datetime | None
    lease_owner: str | None
    progress: Any
    block_id: str | None
    depends_on: list[str]
    attempts: Sequence[TaskAttempt] = ()


@dataclass(frozen=True, slots=True)
class PendingTask:
    """An assigned row that may run now.

    ``metadata`` and ``avoid`` are foreign JSON. ``text_bytes`` counts the description and the
    system message, ``earlier_bytes`` the results of its dependencies. ``faults`` are the error
    codes of its earlier attempts.
    """

    id: str
    priority: str | None
    created_at: datetime | None
    category: str | None
    complexity: float | None
    metadata: Any
    attempt_count: int
    avoid: Any
    assignee_expert_id: str | None
    text_bytes: int
    earlier_bytes: int
    faults: list[str]


@dataclass(frozen=True, slots=True)
class UnassignedTask:
    """A pending row without an expert or a category; texts are cut.

    ``domain`` and ``expert`` are names; ``unknown_parents`` are dependencies that do not exist.
    """

    id: str
    title: str | None
    description: str | None
    priority: str | None
    category: str | None
    metadata: Any
    unknown_parents: list[str]
    has_dependencies: bool
    domain: str | None = None
    expert: str | None = None


@dataclass(frozen=True, slots=True)
class InFlightTask:
    """A queued or running row with its backend and model."""

    id: str
    status: str
    backend: str | None
    model: str | None
    started_at: datetime | None


@dataclass(frozen=True, slots=True)
class ClaimedTask:
    """A row as it was when this process claimed it; `PendingTask` explains ``faults``.
    ``earlier_titles`` and ``earlier_results`` belong to its dependencies."""

    id: str
    title: str | None
    description: str | None
    created_at: datetime | None
    category: str | None
    metadata: Any
    attempt_count: int
    avoid: Any
    suspicion: str | None
    checkpoint: Any
    expert_name: str | None
    expert_role: str | None
    expert_department: str | None
    expert_prompt: str | None
    expert_metadata: Any
    earlier_titles: list[str]
    earlier_results: list[str]
    faults: list[str]
