"""When a waiting task's turn comes, as the plan in force has it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from models.base import as_utc, fetch_one


@dataclass(frozen=True, slots=True)
class Turn:
    """``before`` tasks of the same block start earlier; ``expected_at`` is the plan's estimate."""

    backend: str
    model: str
    before: int
    expected_at: datetime | None


_PLANNED = """
SELECT backend, model, array_position(task_ids, %(id)s::uuid) - 1 AS place, next_index,
  cardinality(task_ids) AS size, expected_start_seconds, expected_finish_seconds, created_at
FROM kos_blocks WHERE state IN ('planned', 'active') AND %(id)s::uuid = ANY(task_ids)
ORDER BY created_at DESC LIMIT 1
"""


def turn_of(task_id: str) -> Turn | None:
    """None where no block in force holds the task. Needs a session."""
    row = fetch_one(_PLANNED, {"id": task_id})
    if row is None or row["place"] < row["next_index"]:
        return None
    start, finish = row["expected_start_seconds"] or 0.0, row["expected_finish_seconds"] or 0.0
    share = row["place"] / row["size"]
    made_at = as_utc(row["created_at"])
    seconds = start + share * max(0.0, finish - start)
    return Turn(
        backend=row["backend"],
        model=row["model"],
        before=row["place"] - row["next_index"],
        expected_at=made_at + timedelta(seconds=seconds) if made_at else None,
    )
