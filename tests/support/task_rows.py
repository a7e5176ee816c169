"""Tasks and attempts as `models` reads them, with the fields that a test names."""

from __future__ import annotations

from typing import Any, TypeVar

from models.attempt import TaskAttempt
from models.task_rows import ListedTask, WholeTask

Kind = TypeVar("Kind")
LISTED = {"status": "pending", "priority": "medium", "attempt_count": 0, "tags": []}
WHOLE = {**LISTED, "metadata": {}, "epoch": 1, "crash_count": 0, "depends_on": [], "attempts": []}


def listed_task(**known: Any) -> ListedTask:
    return _with(ListedTask, LISTED | known)


def whole_task(**known: Any) -> WholeTask:
    return _with(WholeTask, WHOLE | known)


def task_attempt(**known: Any) -> TaskAttempt:
    return _with(TaskAttempt, {"number": 1, "epoch": 1} | known)


def _with(kind: type[Kind], known: dict[str, Any]) -> Kind:
    names: Any = kind.__dataclass_fields__  # type: ignore[attr-defined]
    return kind(**(dict.fromkeys(names) | known))
