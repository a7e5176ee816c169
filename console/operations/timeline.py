"""The events of a task in order, and its present state in a sentence: what ``kos why`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from console.operations.lanes import SlotUse
from console.operations.outlook import QueuePosition
from console.operations.times import about, span
from jobs.policy import metadata
from models.attempt import TaskAttempt
from models.base import as_utc
from models.decision import RecordedDecision
from models.task_figures import progress_in
from models.task_rows import WholeTask

NOTABLE_LOAD_SECONDS = 0.05
STAGES = {
    "assign": "assigned to",
    "route": "routed to",
    "plan": "planned",
    "admit": "admission",
    "retry": "then",
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at ``at``; ``details`` are what was not chosen, and figures."""

    at: datetime
    what: str
    details: tuple[str, ...] = ()


def events_of(task: WholeTask, decisions: Sequence[RecordedDecision]) -> list[Event]:
    """Every event of a task as ``tasks.details`` returns it, oldest first."""
    events = [Event(task.created_at, "submitted")] if task.created_at else []
    events += [_decided(decision) for decision in decisions]
    for attempt in task.attempts:
        events += _attempted(attempt)
    if task.cancel_requested_at:
        events.append(Event(task.cancel_requested_at, "cancel requested"))
    return sorted(events, key=lambda event: event.at)


def standing(
    task: WholeTask,
    parents: Mapping[str, str],
    *,
    now: datetime,
    position: QueuePosition | None = None,
    slots: SlotUse | None = None,
    closed: str | None = None,
) -> str:
    """The present state of a task and what it waits for, in one sentence.

    ``parents`` maps the tasks that it depends on to their statuses; ``position`` is its place in
    the present plan, ``slots`` what a queued task waits for, ``closed`` why what it requires takes
    nothing now.
    """
    status = task.status
    if status == "pending":
        return _waiting(task, parents, now=now, position=position, closed=closed)
    place = _place(task.backend, task.model)
    if status == "queued":
        return f"queued{place}; {_admission(slots)}"
    if status == "in_progress":
        return f"running{place}{_progress(task)}{_done_in(position)}"
    if status == "completed":
        score = task.validation_score
        return "completed" + (f", score {score:.2f}" if score is not None else "")
    if status == "failed":
        reason = task.last_error or "no reason was recorded"
        return f"failed: {reason} (`kos retry {task.id[:8]}` sends it through again)"
    if status == "cancelled":
        return "cancelled"
    return f"nothing runs a task whose status is {status!r}; set it to 'pending'"


def _waiting(
    task: WholeTask,
    parents: Mapping[str, str],
    *,
    now: datetime,
    position: QueuePosition | None,
    closed: str | None,
) -> str:
    for parent in task.depends_on:
        status = parents.get(parent)
        if status in {"failed", "cancelled"}:
            return f"waits for {parent[:8]}, which is {status}: retry that one first"
        if status is not None and status != "completed":
            return f"waits for {parent[:8]}, which is {status}"
    due = as_utc(task.next_attempt_at)
    if due is not None and due > now:
        why = f" ({task.last_error})" if task.last_error else ""
        return f"waits until {due:%H:%M:%S} UTC, {span((due - now).total_seconds())} from now{why}"
    if not task.expert:
        return "waits for an expert: none is assigned yet"
    if position is None or not position.backend:
        wishes = _wishes(task)
        return (
            f"waits for {wishes}; {closed}" if closed else f"waits for the next plan{_seen(wishes)}"
        )
    return _planned(position)


def _admission(slots: SlotUse | None) -> str:
    if slots is None:
        return "a worker takes it as soon as a slot is free"
    if not slots.full:
        return f"a worker takes it next: {slots.in_use} of {slots.bound} slots are in use"
    where = " over all backends" if slots.everywhere else ""
    kept = f" and {slots.kept} kept for people" if slots.kept else ""
    used = f"{slots.in_use} of {slots.bound}{where} are in use{kept}"
    return f"waits for a slot: {used}, {slots.reason}"


def _wishes(task: WholeTask) -> str:
    """The backend or model that the task requires; it is not planned while none can serve it."""
    options = metadata.read(task.metadata)
    named = (("backend", options.required_backend), ("model", options.required_model))
    return " and ".join(f"{what} {wish}" for what, wish in named if wish)


def _seen(wishes: str) -> str:
    return f" with {wishes}: `kos backends` shows whether one serves it" if wishes else ""


def _planned(turn: QueuePosition) -> str:
    starts = turn.starts_in
    soon = f", in {about(starts.low, starts.high)}" if starts and starts.high >= 1 else ""
    before = f"after {turn.before} other tasks" if turn.before else "next in line"
    return f"planned for {turn.backend} with {turn.model}, {before}{soon}{_done_in(turn)}"


def _done_in(position: QueuePosition | None) -> str:
    done = position.done_in if position else None
    return f", done in {about(done.low, done.high)}" if done and done.high >= 1 else ""


def _decided(decision: RecordedDecision) -> Event:
    what = STAGES.get(decision.stage, decision.stage)
    chosen = f" {decision.chosen}" if decision.chosen else ""
    details = tuple(
        f"not {entry.get('option')}: {entry.get('reason')}"
        for entry in decision.rejected or ()
        if isinstance(entry, Mapping)
    )
    return Event(decision.at, f"{what}{chosen}: {decision.reason}", details)


def _attempted(attempt: TaskAttempt) -> list[Event]:
    number = attempt.number
    events = []
    if attempt.started_at:
        waited = span(attempt.wait_seconds)
        after = f" after {waited} in the queue" if waited else ""
        text = f"attempt {number} started{_place(attempt.backend, attempt.model)}{after}"
        events.append(Event(attempt.started_at, text))
    if attempt.finished_at:
        error = f": {attempt.error}" if attempt.error else ""
        text = f"attempt {number} {attempt.outcome}{error}"
        events.append(Event(attempt.finished_at, text, _figures(attempt)))
    return events


def _figures(attempt: TaskAttempt) -> tuple[str, ...]:
    load = attempt.load_seconds
    named = (
        ("load", span(load) if (load or 0) >= NOTABLE_LOAD_SECONDS else ""),
        ("first token after", span(attempt.first_token_seconds)),
        ("whole call", span(attempt.duration_seconds)),
        ("prompt tokens", _prompt_tokens(attempt)),
        ("answer tokens", attempt.completion_tokens),
    )
    figures = [f"{name} {value}" for name, value in named if value]
    return (", ".join(figures),) if figures else ()


def _prompt_tokens(attempt: TaskAttempt) -> str:
    cached = attempt.cached_prompt_tokens
    note = f" ({cached} of them cached)" if cached else ""
    return f"{attempt.prompt_tokens}{note}" if attempt.prompt_tokens else ""


def _place(backend: str | None, model: str | None) -> str:
    if not backend:
        return ""
    return f" at {backend}" + (f" with {model}" if model else "")


def _progress(task: WholeTask) -> str:
    progress = progress_in(task.progress)
    phase = f", {progress.phase}" if progress.phase else ""
    return phase + (f", {progress.tokens} tokens so far" if progress.tokens else "")
