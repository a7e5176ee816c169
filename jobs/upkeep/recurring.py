"""Starts the tasks of schedules that are due, in one transaction per schedule.

It locks the schedule's row, writes the row of the due time and inserts the task, or does none of
it. So any number of schedulers may run, and any of them may die.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import psycopg2

from jobs.policy import recurrence
from jobs.policy.metadata import Submission, check_submission
from jobs.policy.recurrence import Action, Recurrence, RecurrenceError
from jobs.policy.templates import MissingVariables, filled, variables
from models import schedule, template
from models.database import database, session
from models.expert import Expert
from models.schedule import Schedule
from models.task import NewTask, Task

logger = logging.getLogger(__name__)

RESULT_CHARS = 20_000
"""The part of the last answer that goes into the next prompt."""
REFUSED = "refused"


def start_due(*, now: datetime) -> list[str]:
    """Handle every schedule that is due at ``now``; the ids of the new tasks."""
    started = []
    with session():
        for schedule_id in schedule.active_ids():
            try:
                with database.atomic():
                    row = schedule.take(schedule_id)
                    task_id = _handle(row, now) if row else None
            except RecurrenceError as error:  # A row changed by SQL: it fails alone.
                logger.warning("schedule_unreadable schedule=%s error=%s", schedule_id, error)
                continue
            started += [task_id] if task_id else []
    return started


def start_now(row: Schedule, *, now: datetime) -> tuple[str | None, str | None]:
    """Start one run outside the due times; (task id, None), or (None, the reason of the
    refusal)."""
    with database.atomic():
        schedule.record(row.id, now, Action.RUN)
        return _submit(row, now)


def line_of(row: Schedule) -> Any:
    """The JSON line of a schedule's task before substitution: its template's fields, overridden by
    its own."""
    found = template.get(row.template) if row.template else None
    return {**(found.line if found else {}), **row.line}


def recurrence_of(row: Schedule) -> Recurrence:
    return Recurrence(row.cron, row.zone, catch_up=row.catch_up)


def _handle(row: Schedule, now: datetime) -> str | None:
    due = recurrence.due(
        recurrence_of(row),
        handled_until=row.handled_until,
        now=now,
        is_running=schedule.has_open_run(row.id),
    )
    if due is None:
        return None
    task_id = None
    if schedule.record(row.id, due.at, due.action, passed=due.passed):
        if due.action is Action.RUN:
            task_id, _ = _submit(row, due.at)
        logger.info("schedule_%s name=%s due=%s task=%s", due.action, row.name, due.at, task_id)
    schedule.handled(row.id, due.at)
    schedule.drop_beyond(row.id, row.keep)
    return task_id


def _submit(row: Schedule, due_at: datetime) -> tuple[str | None, str | None]:
    checked = _checked(row, due_at)
    task_id, problem = None, None
    if isinstance(checked, NewTask):
        try:
            (task_id,) = Task.submit([checked])
        except (psycopg2.DataError, psycopg2.IntegrityError) as error:
            problem = str(error).strip().splitlines()[0]
    else:
        problem = checked
    outcome = REFUSED if problem else Action.RUN
    schedule.finish_record(row.id, due_at, outcome=outcome, task_id=task_id, problem=problem)
    return task_id, problem


def _checked(row: Schedule, due_at: datetime) -> NewTask | str:
    """The task of that due time, or the reason why there can be none."""
    line = line_of(row)
    try:
        line = filled(line, {**row.variables, **_values(row, due_at, variables(line))})
    except MissingVariables as error:
        return str(error)
    submission = check_submission(line)
    if not isinstance(submission, Submission):
        return "; ".join(map(str, submission))
    expert = Expert.named(submission.expert) if submission.expert else None
    if submission.expert and (expert is None or expert.is_active is False):
        return f"expert: {submission.expert!r} is unknown or not active"
    return NewTask(
        title=submission.title,
        description=submission.description,
        priority=submission.priority.value,
        category=submission.category.value if submission.category else None,
        assignee_expert_id=str(expert.id) if expert else None,
        metadata={**submission.metadata, "schedule": row.name},
        idempotency_key=f"schedule:{row.id}:{due_at.isoformat()}",
    )


def _values(row: Schedule, due_at: datetime, wanted: set[str]) -> Mapping[str, str]:
    local = recurrence_of(row).local(due_at)
    values = {"date": f"{local:%Y-%m-%d}", "time": f"{local:%H:%M}"}
    if "last_result" in wanted:
        values["last_result"] = schedule.last_result(row.id, most_chars=RESULT_CHARS)
    return values
