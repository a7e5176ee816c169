"""Sending a task through again, and not to where it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from console.operations import tasks
from models.base import fetch_all
from models.database import database
from models.states import TaskState
from models.task import Task

_PLACES = """
SELECT DISTINCT backend, model FROM attempts
WHERE task_id = %s::uuid AND backend IS NOT NULL AND model IS NOT NULL
"""


def retry_elsewhere(task_ids: Sequence[str]) -> dict[str, Any]:
    """Like ``tasks.retry``, and the planner avoids every (backend, model) of earlier attempts.

    One transaction: the planner sees the row with its places to avoid, or not at all.
    """
    with database.atomic():
        document = tasks.retry(task_ids)
        for task_id in document["retried"]:
            places = [[row["backend"], row["model"]] for row in fetch_all(_PLACES, (task_id,))]
            waits = (Task.id == task_id) & (Task.status == TaskState.PENDING.value)
            Task.update(avoid=places).where(waits).execute()
    return document
