"""Loads of models into memory. Blocks group tasks in order to avoid them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from models.base import fetch_all

Cause = Literal["task", "ahead", "chat"]


def record(backend: str, model: str, *, num_ctx: int, seconds: float, cause: Cause) -> None:
    """``task``: a task waited for it; ``ahead``: it was loaded while the block before drained."""
    fetch_all(
        "INSERT INTO kos_loads (backend, model, num_ctx, seconds, cause) "
        "VALUES (%s, %s, %s, %s, %s) RETURNING id",
        (backend, model, num_ctx, seconds, cause),
    )


@dataclass(frozen=True, slots=True)
class Reloads:
    """Loads at one backend, and a lower bound for them: one load per model and context size that
    was used."""

    actual: int
    bound: int
    seconds: float


def of_last_day() -> dict[str, Reloads]:
    """By backend, for backends that loaded anything."""
    rows = fetch_all(
        "SELECT backend, count(*) AS actual, count(DISTINCT (model, num_ctx)) AS bound, "
        "coalesce(sum(seconds), 0) AS seconds "
        "FROM kos_loads WHERE at > now() - interval '1 day' GROUP BY 1"
    )
    return {row.pop("backend"): Reloads(**row) for row in rows}


@dataclass(frozen=True, slots=True)
class PastLoad:
    """A load that ended at ``at``."""

    backend: str
    model: str
    at: datetime
    seconds: float


def ended_since(moment: datetime, *, newest: int) -> list[PastLoad]:
    """The newest ``newest`` loads since then."""
    rows = fetch_all(
        "SELECT backend, model, at, seconds FROM kos_loads WHERE at > %s ORDER BY at DESC LIMIT %s",
        (moment, newest),
    )
    return [PastLoad(**row) for row in rows]


def mean_seconds() -> dict[tuple[str, str], float]:
    """The mean duration of a load by (backend, model), over all stored rows."""
    rows = fetch_all("SELECT backend, model, avg(seconds) AS seconds FROM kos_loads GROUP BY 1, 2")
    return {(row["backend"], row["model"]): row["seconds"] for row in rows}


def last_seconds(backend: str, model: str) -> float | None:
    """How long the last load of this model there took; None before the first."""
    rows = fetch_all(
        "SELECT seconds FROM kos_loads WHERE backend = %s AND model = %s ORDER BY at DESC LIMIT 1",
        (backend, model),
    )
    return rows[0]["seconds"] if rows else None


def prune(keep_days: float) -> int:
    """Delete loads older than ``keep_days``; how many."""
    rows = fetch_all(
        "WITH gone AS (DELETE FROM kos_loads WHERE at < now() - %s * interval '1 day' RETURNING 1) "
        "SELECT count(*) AS n FROM gone",
        (keep_days,),
    )
    return int(rows[0]["n"])
