"""Decisions: one row with a reason for each choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from psycopg2.extras import Json, execute_values

from models.base import fetch_all
from models.database import database

Stage = Literal["assign", "route", "plan", "admit", "retry"]


@dataclass(frozen=True, slots=True)
class NewDecision:
    """``rejected`` holds ``{"option", "reason"}`` for what was not chosen."""

    task_id: str
    stage: Stage
    chosen: str | None
    reason: str
    rejected: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """A decision that was recorded; ``rejected`` is of the form of :class:`NewDecision`, unless
    another program wrote it."""

    at: datetime
    stage: str
    chosen: str | None
    reason: str
    rejected: Sequence[Any] | None


def record(decisions: Sequence[NewDecision]) -> None:
    """Write ``decisions`` in one statement."""
    if not decisions:
        return
    rows = [(d.task_id, d.stage, d.chosen, d.reason, Json(d.rejected)) for d in decisions]
    execute_values(
        database.cursor(),
        "INSERT INTO kos_decisions (task_id, stage, chosen, reason, rejected) VALUES %s",
        rows,
        template="(%s::uuid, %s, %s, %s, %s)",
        page_size=1000,
    )


def of_task(task_id: str) -> list[RecordedDecision]:
    """The decisions on one task, oldest first."""
    rows = fetch_all(
        "SELECT at, stage, chosen, reason, rejected FROM kos_decisions "
        "WHERE task_id = %s::uuid ORDER BY id",
        (task_id,),
    )
    return [RecordedDecision(**row) for row in rows]


def prune(keep_days: float) -> int:
    """Delete decisions older than ``keep_days``; how many."""
    rows: list[Any] = fetch_all(
        "WITH gone AS (DELETE FROM kos_decisions WHERE at < now() - %s * interval '1 day' "
        "RETURNING 1) SELECT count(*) AS n FROM gone",
        (keep_days,),
    )
    return int(rows[0]["n"])
