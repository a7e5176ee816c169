"""What people make of answers: a thumb with a note, and several runs beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from console.operations import reruns, submission, tasks
from console.operations.documents import fields_of
from console.operations.errors import InvalidInput
from console.operations.plan_request import request_plan
from console.operations.submission import Rules
from models import feedback, task_views
from models.feedback import Thumb, ThumbTotals
from models.states import FINAL_STATES
from models.task_rows import WholeTask

MAX_NOTE_CHARS = 2000
MOST_COMPARED = 4
THUMBS = {"up": Thumb.UP, "down": Thumb.DOWN}


@dataclass(frozen=True, slots=True)
class Thumbs:
    """What people gave, by expert and by model."""

    experts: list[ThumbTotals] = field(default_factory=list)
    models: list[ThumbTotals] = field(default_factory=list)


def give_thumb(task_id: str, thumb: str | None, note: str = "") -> None:
    """``up`` or ``down`` for the task's answer; None takes it back. Raises InvalidInput."""
    if thumb is None:
        feedback.withdraw(task_id)
        return
    if thumb not in THUMBS:
        raise InvalidInput("thumb: write up or down")
    if len(note) > MAX_NOTE_CHARS or "\x00" in note:
        raise InvalidInput(f"note: at most {MAX_NOTE_CHARS} characters of text")
    if not feedback.give(task_id, THUMBS[thumb], note):
        raise InvalidInput(f"{task_id[:8]} has no answer")


def thumbs() -> Thumbs:
    return Thumbs(experts=feedback.totals("expert"), models=feedback.totals("model"))


def start_comparison(
    task_id: str, choices: Sequence[Mapping[str, str]], *, rules: Rules
) -> list[str]:
    """Run an ended task again for each choice of ``model`` and ``expert``; the ids.

    Raises InvalidInput, and starts none then: no choice, too many, or one that would be refused.
    """
    if not 1 <= len(choices) < MOST_COMPARED:
        raise InvalidInput(f"choose 1 to {MOST_COMPARED - 1} other models or experts")
    row = task_views.one(task_id)
    if row is None or row.status not in {state.value for state in FINAL_STATES}:
        raise InvalidInput(f"{task_id[:8]} has not ended")
    for choice in choices:
        if problem := submission.problem_of(reruns.line_of(row, choice), rules=rules):
            raise InvalidInput(problem)
    found = [reruns.rerun([task_id], choice, rules=rules).reruns for choice in choices]
    return [one.id for several in found for one in several]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRun(WholeTask):
    """A run with the seconds and tokens of its last answer, and the length of its result."""

    seconds: float | None
    tokens: int | None
    chars: int
    is_result: bool


def compared(task_id: str, wanted: Sequence[str] = ()) -> list[ComparedRun]:
    """The task and those of its runs that are ``wanted``, else its newest ones."""
    runs = [row.id for row in task_views.reruns_of(task_id)]
    chosen = [one for one in runs if one in wanted] or runs[1 - MOST_COMPARED :]
    rows = [tasks.details(one) for one in (task_id, *chosen[: MOST_COMPARED - 1])]
    metadata = rows[0].metadata if isinstance(rows[0].metadata, dict) else {}
    result_of = metadata.get("result_of") or task_id
    return [_measured(_own(row), is_result=row.id == result_of) for row in rows]


def keep_result(task_id: str, run_id: str) -> None:
    """Make the answer of a run of the task its result; of the task itself, its own best answer.

    Raises InvalidInput: ``run_id`` is no completed run of it, or the task runs.
    """
    if run_id == task_id:
        tasks.accept(task_id)
    elif not feedback.keep_result_of(task_id, run_id):
        raise InvalidInput(
            f"{run_id[:8]} is no completed run of {task_id[:8]}, or that one runs now"
        )
    request_plan("accept")


def _own(row: WholeTask) -> WholeTask:
    """A task that shows the answer of another run, with the answer that was its own."""
    metadata = row.metadata if isinstance(row.metadata, dict) else {}
    if "result_of" not in metadata:
        return row
    own = tasks.best_answer(replace(row, result=None))
    return replace(row, result=own.answer if own else row.result)


def _measured(row: WholeTask, *, is_result: bool) -> ComparedRun:
    last = next((one for one in reversed(row.attempts) if one.answer), None)
    return ComparedRun(
        **fields_of(row),
        seconds=last.duration_seconds if last else None,
        tokens=last.completion_tokens if last else None,
        chars=len(row.result or ""),
        is_result=is_result,
    )
