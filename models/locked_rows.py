"""Changes many rows while other transactions keep some of them locked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from models.base import fetch_all, fetch_soon
from models.states import TaskState
from models.task_sql import STILL_AMONG

LOCKED_ROWS_SECONDS = 2.0
"""For all locked rows together."""


def change_each(
    free: str,
    statement: str,
    task_ids: Sequence[str],
    *,
    states: Sequence[TaskState],
    **values: Any,
) -> dict[str, str | None]:
    """Run ``free`` for the rows that nobody has locked, then ``statement`` for each other row.

    Returns the new status by id; None for a row in ``states`` that stayed locked.
    """
    rows = fetch_all(free, {"ids": list(task_ids), **values})
    after: dict[str, str | None] = {row["id"]: row["status"] for row in rows}
    rest = [task_id for task_id in task_ids if task_id not in after]
    among = {"ids": rest, "states": [state.value for state in states]}
    deadline = time.monotonic() + LOCKED_ROWS_SECONDS
    for row in fetch_all(STILL_AMONG, among) if rest else ():
        after[row["id"]] = None
        if time.monotonic() < deadline:
            for late in fetch_soon(statement, {"ids": [row["id"]], **values}):
                after[late["id"]] = late["status"]
    return after
