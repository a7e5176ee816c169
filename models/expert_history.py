"""The history of an expert: versions of its prompt, its figures, its last tasks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from models.base import fetch_all, fetch_one

VERSIONS = """
SELECT version, at, author, system_prompt FROM kos_expert_versions
WHERE expert_id = %s ORDER BY version DESC LIMIT %s
"""

FIGURES = """
SELECT count(*) FILTER (WHERE t.status IN ('pending', 'queued', 'in_progress')) AS open,
  count(*) FILTER (WHERE t.status = 'completed') AS completed,
  count(*) FILTER (WHERE t.status = 'failed') AS failed,
  (avg(t.validation_score) FILTER (WHERE t.status = 'completed'))::numeric(9, 3)::float
    AS average_score,
  (SELECT (count(*) FILTER (WHERE a.outcome = 'completed'))::float / nullif(count(*), 0)
   FROM kos_attempts a JOIN tasks j ON j.id = a.task_id
   WHERE j.assignee_expert_id = %(id)s AND a.verdict IS NOT NULL) AS acceptance_rate
FROM tasks t WHERE t.assignee_expert_id = %(id)s
"""

RECENT = """
SELECT id::text, title, status, validation_score, created_at, completed_at FROM tasks
WHERE assignee_expert_id = %s ORDER BY created_at DESC LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class PromptVersion:
    """A version of an expert's prompt. ``author`` is a database role where nobody is named."""

    version: int
    at: datetime
    author: str
    system_prompt: str


@dataclass(frozen=True, slots=True)
class ExpertFigures:
    """The tasks of an expert by state, the average score of the completed ones, and the share of
    its checked answers that were accepted (0 to 1). None where there is nothing to measure."""

    open: int
    completed: int
    failed: int
    average_score: float | None
    acceptance_rate: float | None


@dataclass(frozen=True, slots=True)
class RecentTask:
    """A task of an expert."""

    id: str
    title: str | None
    status: str | None
    validation_score: float | None
    created_at: datetime | None
    completed_at: datetime | None


def versions(expert_id: str, *, limit: int = 100) -> list[PromptVersion]:
    """Newest first."""
    return [PromptVersion(**row) for row in fetch_all(VERSIONS, (expert_id, limit))]


def version(expert_id: str, number: int) -> str | None:
    """The prompt of that version, None where there is none."""
    row = fetch_one(
        "SELECT system_prompt FROM kos_expert_versions WHERE expert_id = %s AND version = %s",
        (expert_id, number),
    )
    return row["system_prompt"] if row else None


def figures(expert_id: str) -> ExpertFigures:
    (row,) = fetch_all(FIGURES, {"id": expert_id})
    return ExpertFigures(**row)


def recent_tasks(expert_id: str, *, limit: int = 10) -> list[RecentTask]:
    """Newest first."""
    return [RecentTask(**row) for row in fetch_all(RECENT, (expert_id, limit))]
