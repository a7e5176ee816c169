"""Users' feedback on answers: one row per task, about the answer it had then."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from models import task_sql
from models.base import fetch_all
from models.states import FINAL_STATES


class Thumb(IntEnum):
    UP = 1
    DOWN = -1


GIVE = """
INSERT INTO kos_feedback (task_id, thumb, note, expert, backend, model)
SELECT t.id, %(thumb)s, %(note)s, e.name, t.backend, t.model
FROM tasks t LEFT JOIN experts e ON e.id = t.assignee_expert_id
WHERE t.id = %(id)s::uuid AND t.result IS NOT NULL
ON CONFLICT (task_id) DO UPDATE SET thumb = EXCLUDED.thumb, note = EXCLUDED.note,
  expert = EXCLUDED.expert, backend = EXCLUDED.backend, model = EXCLUDED.model, given_at = now()
RETURNING task_id
"""

TOTALS = """
SELECT coalesce({column}, '') AS name, count(*) FILTER (WHERE thumb = 1) AS up,
  count(*) FILTER (WHERE thumb = -1) AS down
FROM kos_feedback GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class ThumbTotals:
    """Thumbs for the answers of one expert or model; the name is empty where none was known."""

    name: str
    up: int
    down: int


def give(task_id: str, thumb: Thumb, note: str) -> bool:
    """Insert or replace the feedback; False where the task has no answer."""
    return bool(fetch_all(GIVE, {"id": task_id, "thumb": int(thumb), "note": note}))


def withdraw(task_id: str) -> bool:
    return bool(
        fetch_all("DELETE FROM kos_feedback WHERE task_id = %s::uuid RETURNING task_id", (task_id,))
    )


def totals(by: str) -> list[ThumbTotals]:
    """By ``expert`` or ``model``."""
    assert by in {"expert", "model"}
    return [ThumbTotals(**row) for row in fetch_all(TOTALS.format(column=by))]


def keep_result_of(task_id: str, run_id: str) -> bool:
    """Make the answer of a completed run of an ended task its result; False where it is none.
    ``metadata.result_of`` names the run."""
    final = [state.value for state in FINAL_STATES]
    values = {"id": task_id, "run": run_id, "final": final}
    return bool(fetch_all(task_sql.KEEP_RESULT_OF, values))
