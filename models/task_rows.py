"""Rows of ``tasks`` as values, one class for each reader of the backlog."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


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
