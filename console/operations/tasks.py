"""Tasks: list, show, explain, cancel, retry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from console.operations.errors import InvalidInput, near
from console.operations.plan_request import request_plan
from models import attempt, decision, task_views
from models.attempt import TaskAttempt
from models.decision import RecordedDecision
from models.states import TaskState
from models.task import Task
from models.task_rows import WholeTask


@dataclass(frozen=True, slots=True)
class UnchangedTask:
    """A task that was left as it is; ``status`` is None where there is none of this id."""

    id: str
    status: str | None


@dataclass(frozen=True, slots=True)
class LockedTask(UnchangedTask):
    """One whose row another transaction keeps locked."""

    locked: bool = True


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Ids of tasks that are cancelled, and of running ones that are asked to stop. The unchanged
    had ended before, or are locked."""

    cancelled: Sequence[str]
    stopping: Sequence[str]
    unchanged: Sequence[UnchangedTask]


@dataclass(frozen=True, slots=True)
class Retried:
    """Ids of tasks that are sent through again."""

    retried: Sequence[str]
    unchanged: Sequence[UnchangedTask]


@dataclass(frozen=True, slots=True)
class AcceptedAnswer:
    """The number of the attempt whose answer is the result now."""

    accepted: int


def checked_statuses(written: Iterable[str]) -> tuple[str, ...]:
    """The statuses as stored; ``a,b`` counts as two. Raises InvalidInput for an unknown one."""
    names = [part.strip().lower() for text in written for part in text.split(",") if part.strip()]
    known = [state.value for state in TaskState]
    for name in names:
        if name.replace("-", "_") not in known:
            raise InvalidInput(f"status {name!r} is unknown; {near(name, known)}")
    return tuple(dict.fromkeys(name.replace("-", "_") for name in names))


def details(task_id: str) -> WholeTask:
    """One task with its attempts. ``task_id`` exists."""
    found = task_views.one(task_id)
    assert found is not None
    return replace(found, attempts=attempt.of_task(task_id))


def best_answer(task: WholeTask) -> TaskAttempt | None:
    """The best attempt with an answer of a task without a result; ``task`` is from `details`."""
    found = [one for one in task.attempts if one.answer and one.outcome]
    if task.result or not found:
        return None
    return max(found, key=lambda one: ((one.verdict or {}).get("score") or 0.0, one.number))


def accept(task_id: str, number: int | None = None) -> AcceptedAnswer:
    """Take the answer of attempt ``number``, else the best one, as the result.

    Raises InvalidInput where there is none, or the task runs.
    """
    accepted = Task.accept(task_id, number)
    if accepted is None:
        which = "an attempt" if number is None else f"attempt {number}"
        raise InvalidInput(
            f"{which} of {task_id} with an answer is not there, or the task runs now"
        )
    request_plan("accept")
    return AcceptedAnswer(accepted)


def explained(task_id: str) -> dict[str, Any]:
    """:func:`as_explained` with the decisions as they are recorded."""
    return as_explained(task_id, decision.of_task(task_id))


def as_explained(task_id: str, decisions: Iterable[RecordedDecision]) -> dict[str, Any]:
    """``{"task", "decisions"}``: every decision about it, oldest first, as documents."""
    return {"task": task_id, "decisions": [asdict(one) for one in decisions]}


def cancel(task_ids: Sequence[str]) -> Cancelled:
    """Cancel waiting tasks at once and ask running ones to stop."""
    after = Task.cancel(task_ids)
    running = TaskState.IN_PROGRESS.value
    return Cancelled(
        cancelled=[i for i in task_ids if after.get(i) == TaskState.CANCELLED.value],
        stopping=[i for i in task_ids if after.get(i) == running],
        unchanged=_unchanged(task_ids, after),
    )


def retry(task_ids: Sequence[str], *, elsewhere: bool = False) -> Retried:
    """Send failed and cancelled tasks through again with fresh counters. ``elsewhere`` excludes the
    places where they ran."""
    after = Task.redrive(task_ids, avoid_tried=elsewhere)
    retried = [task_id for task_id in task_ids if after.get(task_id) is not None]
    if retried:
        request_plan("retry")
    return Retried(retried, _unchanged(task_ids, after))


def _unchanged(task_ids: Sequence[str], after: Mapping[str, str | None]) -> list[UnchangedTask]:
    rest = [task_id for task_id in task_ids if after.get(task_id) is None]
    statuses = task_views.statuses_of(rest) if rest else {}
    return [(LockedTask if i in after else UnchangedTask)(i, statuses.get(i)) for i in rest]
