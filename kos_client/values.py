"""Results of the API as frozen values. Times are aware and in UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

FINAL_STATUSES = frozenset({"completed", "failed", "cancelled"})
FINAL_BATCH_STATUSES = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a task. ``outcome`` is None while it runs."""

    number: int
    backend: str | None = None
    model: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    outcome: str | None = None
    error: str | None = None
    error_code: str | None = None
    duration_seconds: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A task. Lists leave out ``description``, ``metadata``, ``depends_on`` and ``attempts``."""

    id: str
    status: str
    title: str | None = None
    priority: str | None = None
    category: str | None = None
    expert: str | None = None
    backend: str | None = None
    model: str | None = None
    attempt_count: int = 0
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    result: str | None = None
    last_error: str | None = None
    validation_score: float | None = None
    custom_id: str | None = None
    thumb: str | None = None
    thumb_note: str | None = None
    project: str | None = None
    tags: tuple[str, ...] = ()
    description: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()

    @property
    def has_ended(self) -> bool:
        return self.status in FINAL_STATUSES


@dataclass(frozen=True, slots=True)
class TaskPage:
    """``next_offset`` is None on the last page."""

    tasks: tuple[Task, ...] = ()
    next_offset: int | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """``line`` counts from 1 in the submission."""

    line: int
    error: str


@dataclass(frozen=True, slots=True)
class Submitted:
    """``ids`` of the new tasks in order; ``known_ids`` are existing tasks with the same
    ``custom_id``."""

    submitted: int = 0
    duplicates: int = 0
    rejected: tuple[Rejection, ...] = ()
    ids: tuple[str, ...] = ()
    known_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expert:
    """``open`` counts the tasks that are pending, queued or in progress."""

    id: str
    name: str
    role: str | None = None
    department: str | None = None
    active: bool = True
    open: int = 0
    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Backend:
    """A model server. ``resident`` are the models in its memory."""

    name: str
    kind: str
    url: str
    healthy: bool
    error: str | None = None
    models: tuple[str, ...] = ()
    resident: tuple[str, ...] = ()
    in_flight: int | None = None
    limit: int | None = None
    breaker: str | None = None
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """``tasks`` counts by status; ``health`` are the checks, ``urls`` the addresses of the
    services."""

    tasks: dict[str, int]
    health: tuple[dict[str, Any], ...] = ()
    urls: dict[str, Any] = field(default_factory=dict)
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class BatchCounts:
    total: int = 0
    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """``output_file_id`` and ``error_file_id`` are set once it has ended."""

    id: str
    status: str
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    request_counts: BatchCounts = BatchCounts()
    created_at: datetime | None = None
    metadata: dict[str, str] | None = None

    @property
    def has_ended(self) -> bool:
        return self.status in FINAL_BATCH_STATUSES


@dataclass(frozen=True, slots=True)
class BatchResult:
    """One line of a batch: ``text``, or ``error``."""

    custom_id: str | None
    text: str | None = None
    error: str | None = None
