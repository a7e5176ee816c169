"""Tasks: list, show, explain, cancel, retry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from console.operations.errors import InvalidInput, near
from console.operations.plan_request import request_plan
from models import attempt, decision, task_views
from models.base import Row
from models.decision import RecordedDecision
from models.states import TaskState
from models.task import Task

ATTEMPT_FIELDS = (
    "number", "epoch", "backend", "model", "started_at", "first_token_seconds", "load_seconds",
    "duration_seconds", "prompt_tokens", "completion_tokens", "outcome", "verdict", "error",
    "worker", "finished_at", "wait_seconds", "error_code", "messages", "options", "answer",
    "queue_seconds", "cached_prompt_tokens", "prefill_seconds", "decode_seconds",
)  # fmt: skip


def checked_statuses(written: Iterable[str]) -> tuple[str, ...]:
    """The statuses as stored; ``a,b`` counts as two. Raises InvalidInput for an unknown one."""
    names = [part.strip().lower() for text in written for part in text.split(",") if part.strip()]
    known = [state.value for state in TaskState]
    for name in names:
        if name.replace("-", "_") not in known:
            raise InvalidInput(f"status {name!r} is unknown; {near(name, known)}")
    return tuple(dict.fromkeys(name.replace("-", "_") for name in names))


def details(task_id: str) -> Row:
    """One task whole, with its ``attempts``. ``task_id`` exists."""
    row = task_views.one(task_id)
    assert row is not None
    row["attempts"] = [
        {name: found.get(name) for name in ATTEMPT_FIELDS} for found in attempt.of_task(task_id)
    ]
    return row


def best_answer(row: Row) -> Row | None:
    """The best attempt with an answer of a task without a result; ``row`` is from `details`."""
    found: list[Row] = [one for one in row["attempts"] if one["answer"] and one["outcome"]]
    if row["result"] or not found:
        return None
    return max(found, key=lambda one: ((one["verdict"] or {}).get("score") or 0.0, one["number"]))


def accept(task_id: str, number: int | None = None) -> dict[str, Any]:
    """Take the answer of attempt ``number``, else the best one, as the result.

    ``{"accepted": number}``. Raises InvalidInput where there is none, or the task runs.
    """
    accepted = Task.accept(task_id, number)
    if accepted is None:
        which = "an attempt" if number is None else f"attempt {number}"
        raise InvalidInput(
            f"{which} of {task_id} with an answer is not there, or the task runs now"
        )
    request_plan("accept")
    return {"accepted": accepted}


def explained(task_id: str) -> dict[str, Any]:
    """:func:`as_explained` with the decisions as they are recorded."""
    return as_explained(task_id, decision.of_task(task_id))


def as_explained(task_id: str, decisions: Iterable[RecordedDecision]) -> dict[str, Any]:
    """``{"task", "decisions"}``: every decision about it, oldest first, as documents."""
    return {"task": task_id, "decisions": [asdict(one) for one in decisions]}


def cancel(task_ids: Sequence[str]) -> dict[str, Any]:
    """Cancel waiting tasks at once and ask running ones to stop.

    ``{"cancelled": [...], "stopping": [...], "unchanged": [{"id", "status", "locked"}]}``; the
    unchanged had ended before, or another transaction keeps their rows locked.
    """
    after = Task.cancel(task_ids)
    running = TaskState.IN_PROGRESS.value
    return {
        "cancelled": [i for i in task_ids if after.get(i) == TaskState.CANCELLED.value],
        "stopping": [i for i in task_ids if after.get(i) == running],
        "unchanged": _unchanged(task_ids, after),
    }


def retry(task_ids: Sequence[str], *, elsewhere: bool = False) -> dict[str, Any]:
    """Send failed and cancelled tasks through again with fresh counters. ``elsewhere`` excludes the
    places where they ran.

    ``{"retried": [...], "unchanged": [{"id", "status", "locked"}]}``.
    """
    after = Task.redrive(task_ids, avoid_tried=elsewhere)
    retried = [task_id for task_id in task_ids if after.get(task_id) is not None]
    if retried:
        request_plan("retry")
    return {"retried": retried, "unchanged": _unchanged(task_ids, after)}


def _unchanged(task_ids: Sequence[str], after: Mapping[str, str | None]) -> list[dict[str, Any]]:
    rest = [task_id for task_id in task_ids if after.get(task_id) is None]
    statuses = task_views.statuses_of(rest) if rest else {}
    return [
        {"id": i, "status": statuses.get(i), **({"locked": True} if i in after else {})}
        for i in rest
    ]
