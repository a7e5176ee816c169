"""Running an ended task again as a new one, with another model, expert or backend if wanted.

The new task's ``metadata.rerun_of`` is the id of the first; the first stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from console.operations import submission
from console.operations.submission import Rules
from console.operations.submission_lines import Line
from console.operations.tasks import UnchangedTask
from jobs.policy import metadata
from models import task_views
from models.states import FINAL_STATES, Priority
from models.task_rows import WholeTask

CHANGES = ("model", "expert", "backend")
LINK = "rerun_of"
NOT_ENDED = "has not ended"
_OF_THE_FIRST = frozenset({"preferred_source", "gateway_caller", "schedule", "result_of", LINK})
"""Keys that the system wrote about the first task."""


@dataclass(frozen=True, slots=True)
class Rerun:
    """The new task ``id`` runs ``rerun_of`` again."""

    id: str
    rerun_of: str


@dataclass(frozen=True, slots=True)
class RefusedRerun(UnchangedTask):
    error: str


@dataclass(frozen=True, slots=True)
class Reruns:
    reruns: Sequence[Rerun]
    unchanged: Sequence[RefusedRerun]


def line_of(row: WholeTask, changes: Mapping[str, str]) -> dict[str, Any]:
    """The submission of ``row`` once more, as in ``kos submit --from``; pure.

    ``row`` is from `task_views.one`. ``changes`` may have ``model``, ``expert`` and ``backend``. A
    new model or expert is not bound to the backend of the first task.
    """
    own = row.metadata if isinstance(row.metadata, Mapping) else {}
    wrong = {problem.field for problem in metadata.read(own).problems}
    kept = {key: own[key] for key in own if key not in _OF_THE_FIRST | wrong}
    if "model" in changes and "backend" not in changes:
        kept.pop("required_backend", None)
    category = row.category if metadata.read({"category": row.category}).category else None
    line = {
        "title": row.title,
        "description": row.description or row.title,
        "priority": row.priority if row.priority in set(Priority) else None,
        "category": category,
        "expert": row.expert,
        "after": row.depends_on,
        "metadata": {**kept, LINK: row.id},
        **changes,
    }
    return {key: value for key, value in line.items() if value}


def rerun(task_ids: Sequence[str], changes: Mapping[str, str], *, rules: Rules) -> Reruns:
    """Submit each ended task once more. Needs a session."""
    reruns: list[Rerun] = []
    unchanged: list[RefusedRerun] = []
    final = {state.value for state in FINAL_STATES}
    for task_id in task_ids:
        row = task_views.one(task_id)
        if row is None or row.status not in final:
            status = row.status if row else None
            unchanged.append(RefusedRerun(task_id, status, NOT_ENDED))
            continue
        report = submission.submit([Line(1, line_of(row, changes))], rules=rules)
        if report.rejected:
            error = report.rejected[0].error
            unchanged.append(RefusedRerun(task_id, row.status, error))
        else:
            reruns.append(Rerun(report.ids[0], rerun_of=task_id))
    return Reruns(reruns, unchanged)
