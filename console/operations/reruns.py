"""Running an ended task again as a new one, with another model, expert or backend if wanted.

The new task's ``metadata.rerun_of`` is the id of the first; the first stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from console.operations import submission
from console.operations.submission import Rules
from console.operations.submission_lines import Line
from jobs.policy import metadata
from models import task_views
from models.states import FINAL_STATES, Priority
from models.task_rows import WholeTask

CHANGES = ("model", "expert", "backend")
LINK = "rerun_of"
NOT_ENDED = "has not ended"
_OF_THE_FIRST = frozenset({"preferred_source", "gateway_caller", "schedule", "result_of", LINK})
"""Keys that the system wrote about the first task."""


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


def rerun(task_ids: Sequence[str], changes: Mapping[str, str], *, rules: Rules) -> dict[str, Any]:
    """Submit each ended task once more. Needs a session.

    ``{"reruns": [{"id", "rerun_of"}], "unchanged": [{"id", "status", "error"}]}``.
    """
    reruns: list[dict[str, Any]] = []
    unchanged: list[dict[str, Any]] = []
    final = {state.value for state in FINAL_STATES}
    for task_id in task_ids:
        row = task_views.one(task_id)
        if row is None or row.status not in final:
            status = row.status if row else None
            unchanged.append({"id": task_id, "status": status, "error": NOT_ENDED})
            continue
        report = submission.submit([Line(1, line_of(row, changes))], rules=rules)
        if report.rejected:
            error = report.rejected[0].error
            unchanged.append({"id": task_id, "status": row.status, "error": error})
        else:
            reruns.append({"id": report.ids[0], LINK: task_id})
    return {"reruns": reruns, "unchanged": unchanged}
