"""Loads of models into memory: what grouping tasks into blocks is meant to save."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from models.base import Row, fetch_all

Cause = Literal["task", "ahead", "chat"]


def record(backend: str, model: str, *, num_ctx: int, seconds: float, cause: Cause) -> None:
    """``task``: a task waited for it; ``ahead``: it was loaded while the block before drained."""
    fetch_all(
        "INSERT INTO kos_loads (backend, model, num_ctx, seconds, cause) "
        "VALUES (%s, %s, %s, %s, %s) RETURNING id",
        (backend, model, num_ctx, seconds, cause),
    )


def since(moment: datetime) -> list[Row]:
    """Loads by backend and model since ``moment``: how many, and how long in all."""
    return fetch_all(
        "SELECT backend, model, count(*) AS loads, sum(seconds) AS seconds FROM kos_loads "
        "WHERE at >= %s GROUP BY 1, 2 ORDER BY 1, 2",
        (moment,),
    )


def prune(keep_days: float) -> int:
    """Delete loads older than ``keep_days``; how many."""
    rows = fetch_all(
        "WITH gone AS (DELETE FROM kos_loads WHERE at < now() - %s * interval '1 day' RETURNING 1) "
        "SELECT count(*) AS n FROM gone",
        (keep_days,),
    )
    return int(rows[0]["n"])
