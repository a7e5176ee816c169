"""Tasks: the row class, and every transition of its state as one guarded method.

Only this module, :mod:`models.orphans` and the refusals of :mod:`models.backlog` write
``UPDATE tasks``. Each method names the state it requires, and those of a running attempt the
epoch too: a worker that lost its lease changes nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import peewee
from playhouse.postgres_ext import BinaryJSONField, DateTimeTZField
from psycopg2.extras import Json, execute_values

from models import task_sql as sql
from models.base import BaseRow, Row, fetch_all, fetch_one, fetch_soon, value_of
from models.database import database
from models.decision import NewDecision
from models.locked_rows import LOCKED_ROWS_SECONDS, change_each
from models.marks import NO_MARKS, Marks
from models.states import AttemptOutcome, TaskState
from models.task_rows import ClaimedTask


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claimed task: ``row`` is its state at the claim, ``number`` that of the attempt."""

    id: str
    epoch: int
    number: int
    row: ClaimedTask


@dataclass(frozen=True, slots=True)
class Measures:
    """The cost of an attempt in seconds and tokens; None where not measured."""

    wait_seconds: float | None = None
    load_seconds: float | None = None
    first_token_seconds: float | None = None
    duration_seconds: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_prompt_tokens: int | None = None
    prefill_seconds: float | None = None
    decode_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended, for its row in the ledger.

    ``verdict`` is plain JSON. ``messages`` and ``options`` are those of its last call, ``answer``
    its answer, even a bad one. ``why`` holds decisions, and ``marks`` keys of the metadata; both
    are written in the same statement.
    """

    measures: Measures = field(default_factory=Measures)
    verdict: Mapping[str, Any] | None = None
    error: str | None = None
    error_code: str | None = None
    messages: Sequence[Mapping[str, str]] | None = None
    options: Mapping[str, Any] | None = None
    answer: str | None = None
    finish_reason: str | None = None
    why: Sequence[NewDecision] = ()
    marks: Marks = NO_MARKS


@dataclass(frozen=True, slots=True)
class Assigned:
    """The assignment of a pending row. ``expert_id`` None: its creator chose one. ``source``
    becomes metadata.preferred_source, the expert's preferred model metadata.preferred_model, unless
    the creator set one."""

    id: str
    expert_id: str | None
    category: str
    complexity: float
    source: str | None = None


@dataclass(frozen=True, slots=True)
class NewTask:
    """A row to insert. ``after`` holds the ids of tasks that must complete first."""

    title: str
    description: str
    priority: str = "medium"
    category: str | None = None
    assignee_expert_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    after: tuple[str, ...] = ()


OPEN_STATES = (TaskState.PENDING, TaskState.QUEUED, TaskState.IN_PROGRESS)
Lease = tuple[str, int, Mapping[str, Any]]


class Task(BaseRow):
    id = peewee.UUIDField(primary_key=True)
    title = peewee.TextField(null=True)
    description = peewee.TextField(null=True)
    status = peewee.CharField(null=True)
    priority = peewee.CharField(null=True)
    assignee_expert_id = peewee.UUIDField(null=True)
    creator_expert_id = peewee.UUIDField(null=True)
    domain_id = peewee.UUIDField(null=True)
    parent_task_id = peewee.UUIDField(null=True)
    metadata = BinaryJSONField(null=True, index=False)
    result = peewee.TextField(null=True)
    created_at = DateTimeTZField(null=True)
    updated_at = DateTimeTZField(null=True)
    started_at = DateTimeTZField(null=True)
    completed_at = DateTimeTZField(null=True)
    epoch = peewee.BigIntegerField()
    lease_owner = peewee.TextField(null=True)
    lease_expires_at = DateTimeTZField(null=True)
    queued_at = DateTimeTZField(null=True)
    next_attempt_at = DateTimeTZField(null=True)
    attempt_count = peewee.IntegerField()
    crash_count = peewee.IntegerField()
    suspicion = peewee.TextField(null=True)
    backend = peewee.TextField(null=True)
    model = peewee.TextField(null=True)
    block_id = peewee.UUIDField(null=True)
    category = peewee.TextField(null=True)
    complexity = peewee.FloatField(null=True)
    idempotency_key = peewee.TextField(null=True)
    cancel_requested_at = DateTimeTZField(null=True)
    last_error = peewee.TextField(null=True)
    validation_score = peewee.FloatField(null=True)
    avoid = BinaryJSONField(null=True, index=False)
    checkpoint = BinaryJSONField(null=True, index=False)
    progress = BinaryJSONField(null=True, index=False)

    class Meta:
        table_name = "tasks"

    @classmethod
    def submit(cls, tasks: Sequence[NewTask]) -> list[str | None]:
        """Insert ``tasks`` in one transaction. Returns their ids in order, None where a row
        has the same idempotency key."""
        rows = [
            (
                t.title,
                t.description,
                t.priority,
                t.category,
                t.assignee_expert_id,
                Json(dict(t.metadata)),
                t.idempotency_key,
            )
            for t in tasks
        ]
        with database.atomic():
            cursor = database.cursor()
            cursor.execute(
                "SELECT gen_random_uuid()::text FROM generate_series(1, %s)", [len(rows)]
            )
            fresh = [row[0] for row in cursor.fetchall()]
            values = [(task_id, *row) for task_id, row in zip(fresh, rows, strict=True)]
            inserted = execute_values(
                cursor, sql.INSERT, values, template=sql.INSERT_ROW, page_size=1000, fetch=True
            )
            kept = {row[0] for row in inserted}
            ids = [task_id if task_id in kept else None for task_id in fresh]
            pairs = [
                (i, parent) for i, t in zip(ids, tasks, strict=True) if i for parent in t.after
            ]
            if pairs:
                execute_values(
                    cursor, sql.INSERT_DEPENDENCIES, pairs, template="(%s::uuid, %s::uuid)"
                )
        return ids

    @classmethod
    def assign(cls, rows: Sequence[Assigned], why: Sequence[NewDecision] = ()) -> set[str]:
        """Assign an expert and a category to ``pending`` rows, and insert the decisions ``why``, in
        one statement; returns the ids."""
        if not rows:
            return set()
        values = {
            "rows": Json([asdict(row) for row in rows]),
            "why": Json([asdict(line) for line in why]),
        }
        return {row["id"] for row in fetch_all(sql.ASSIGN, values)}

    @classmethod
    def queue(
        cls, block_id: str, count: int, *, reason: str, chosen: Sequence[int] = ()
    ) -> list[tuple[str, int]]:
        """``pending -> queued`` under a new epoch for the next ``count`` rows of a block, or those
        at the positions ``chosen`` of the unsent ones; (id, epoch) of those still pending."""
        values = {"block": block_id, "count": count, "chosen": list(chosen), "reason": reason}
        found = fetch_all(sql.QUEUE_CHOSEN if chosen else sql.QUEUE, values)
        return [(row["id"], row["epoch"]) for row in found]

    @classmethod
    def give_back(cls, task_id: str, epoch: int) -> bool:
        """``queued -> pending`` for a row that was not admitted. It spends no attempt and keeps its
        place in its block, unless a newer plan has replaced that block."""
        return bool(fetch_soon(sql.GIVE_BACK, {"id": task_id, "epoch": epoch}))

    @classmethod
    def claim(cls, task_id: str, epoch: int, *, owner: str, lease_seconds: float) -> Claimed | None:
        """``queued -> in_progress`` with a lease and an attempt; None when the row is not ours."""
        rows = fetch_soon(
            sql.CLAIM, {"id": task_id, "epoch": epoch, "owner": owner, "lease": lease_seconds}
        )
        if not rows:
            return None
        row = rows[0]
        return Claimed(row["id"], row["epoch"], row["number"], value_of(ClaimedTask, row))

    @classmethod
    def heartbeat(cls, owner: str, leases: Sequence[Lease], *, lease_seconds: float) -> set[str]:
        """Renew the leases of (id, epoch, progress); returns the renewed ids.

        One statement renews the rows that nobody else has locked. The others are tried one by one
        for a short while, so that a locked row does not delay the rest.
        """
        renewed = _renew(sql.HEARTBEAT_OF_FREE, owner, leases, lease_seconds, fetch_all)
        deadline = time.monotonic() + LOCKED_ROWS_SECONDS
        for lease in leases:
            if lease[0] not in renewed and time.monotonic() < deadline:
                renewed |= _renew(sql.HEARTBEAT, owner, [lease], lease_seconds, fetch_soon)
        return renewed

    @classmethod
    def held_leases(cls, owner: str, task_ids: Sequence[str]) -> dict[str, tuple[int, bool]]:
        """(epoch, cancel requested) of those rows that this owner still holds."""
        rows = fetch_all(sql.HELD_LEASES, {"owner": owner, "ids": list(task_ids)})
        return {row["id"]: (row["epoch"], row["cancelled"]) for row in rows}

    @classmethod
    def save_checkpoint(cls, task_id: str, epoch: int, checkpoint: Mapping[str, Any]) -> bool:
        """Store the finished steps of a running task; False when the lease is lost."""
        parameters = {"id": task_id, "epoch": epoch, "checkpoint": Json(dict(checkpoint))}
        return fetch_one(sql.CHECKPOINT, parameters) is not None

    @classmethod
    def mark_alone(cls, task_id: str, epoch: int) -> bool:
        """A suspect runs alone in its process: a death of the worker now counts as its crash."""
        return fetch_one(sql.MARK_ALONE, {"id": task_id, "epoch": epoch}) is not None

    @classmethod
    def complete(
        cls, task_id: str, epoch: int, ending: Ending, *, result: str, score: float | None
    ) -> bool:
        """``in_progress -> completed``; False when the epoch is not ours or a cancel came first."""
        state, outcome = TaskState.COMPLETED, AttemptOutcome.COMPLETED
        changes = {"result": result, "score": score}
        return _end(sql.END_UNLESS_CANCELLED, task_id, epoch, state, outcome, ending, changes)

    @classmethod
    def retry(
        cls,
        task_id: str,
        epoch: int,
        ending: Ending,
        *,
        at: datetime | None,
        spend_attempt: bool,
        avoid: tuple[str, str] | None = None,
        stronger: bool = False,
    ) -> bool:
        """``in_progress -> pending`` until ``at``. Interrupted work spends no attempt.

        ``avoid`` lists where it failed; ``stronger`` classes the task as harder than it seemed.
        """
        outcome = AttemptOutcome.RETRIED if spend_attempt else AttemptOutcome.INTERRUPTED
        changes = {
            "at": at,
            "spend": int(spend_attempt),
            "stronger": stronger,
            "avoid": Json([list(avoid)] if avoid else []),
        }
        state = TaskState.PENDING
        return _end(sql.END_UNLESS_CANCELLED, task_id, epoch, state, outcome, ending, changes)

    @classmethod
    def fail(cls, task_id: str, epoch: int, ending: Ending, *, note: str | None = None) -> bool:
        """``in_progress -> failed`` with its reason, or ``completed`` with ``note`` as result."""
        state, outcome = TaskState.COMPLETED if note else TaskState.FAILED, AttemptOutcome.FAILED
        changes = {"spend": 1, "result": note}
        return _end(sql.END_UNLESS_CANCELLED, task_id, epoch, state, outcome, ending, changes)

    @classmethod
    def finish_cancel(cls, task_id: str, epoch: int, ending: Ending) -> bool:
        """``in_progress -> cancelled`` where a cancel was requested."""
        state, outcome = TaskState.CANCELLED, AttemptOutcome.CANCELLED
        return _end(sql.END_CANCELLED, task_id, epoch, state, outcome, ending, {})

    @classmethod
    def cancel(cls, task_ids: Sequence[str]) -> dict[str, str | None]:
        """Cancel waiting rows at once and mark running ones. Returns the status by id, None where
        another transaction keeps the row locked."""
        return change_each(sql.CANCEL_FREE, sql.CANCEL, task_ids, states=OPEN_STATES)

    @classmethod
    def refuse(cls, task_id: str, *, error: str) -> bool:
        """``pending -> failed`` for a row that can never run; the reason is kept."""
        return bool(fetch_soon(sql.REFUSE, {"id": task_id, "error": error}))

    @classmethod
    def postpone(cls, task_ids: Sequence[str], *, at: datetime, reason: str) -> int:
        """Let ``pending`` rows wait until ``at``, because no backend can take them now."""
        return len(fetch_all(sql.POSTPONE, {"ids": list(task_ids), "at": at, "reason": reason}))

    @classmethod
    def redrive(
        cls, task_ids: Sequence[str], *, avoid_tried: bool = False
    ) -> dict[str, str | None]:
        """``failed | cancelled -> pending`` with fresh counters; the status by id, None where
        another transaction keeps the row locked.

        ``avoid_tried`` excludes every (backend, model) that an earlier attempt used.
        """
        states = (TaskState.FAILED, TaskState.CANCELLED)
        return change_each(
            sql.REDRIVE_FREE, sql.REDRIVE, task_ids, states=states, avoid_tried=avoid_tried
        )

    @classmethod
    def accept(cls, task_id: str, number: int | None = None) -> int | None:
        """Complete a task that does not run with the answer of attempt ``number`` or the best one;
        returns the number, None where there is no such answer or the task runs."""
        row = fetch_one(sql.ACCEPT, {"id": task_id, "number": number})
        return row["number"] if row is not None else None


def _renew(
    statement: str,
    owner: str,
    leases: Sequence[Lease],
    lease_seconds: float,
    fetch: Callable[[str, Mapping[str, Any]], list[Row]],
) -> set[str]:
    parameters = {
        "owner": owner,
        "lease": lease_seconds,
        "ids": [task_id for task_id, _, _ in leases],
        "epochs": [epoch for _, epoch, _ in leases],
        "progress": [json.dumps(dict(progress)) for _, _, progress in leases],
    }
    return {row["id"] for row in fetch(statement, parameters)} if leases else set()


def _end(
    statement: str,
    task_id: str,
    epoch: int,
    state: TaskState,
    outcome: AttemptOutcome,
    ending: Ending,
    changes: Mapping[str, Any],
) -> bool:
    spent, verdict = ending.measures, ending.verdict
    parameters = {
        "id": task_id,
        "epoch": epoch,
        "state": state.value,
        "outcome": outcome.value,
        "error": ending.error,
        "code": ending.error_code,
        "verdict": Json(dict(verdict)) if verdict is not None else None,
        "messages": Json(list(ending.messages)) if ending.messages else None,
        "options": Json(dict(ending.options)) if ending.options else None,
        "answer": ending.answer,
        "finish_reason": ending.finish_reason,
        "why": Json([asdict(line) for line in ending.why]),
        "wait": spent.wait_seconds,
        "load": spent.load_seconds,
        "first_token": spent.first_token_seconds,
        "duration": spent.duration_seconds,
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "cached_prompt_tokens": spent.cached_prompt_tokens,
        "prefill": spent.prefill_seconds,
        "decode": spent.decode_seconds,
        **ending.marks.parameters(),
        **_NO_CHANGES,
        **changes,
    }
    return fetch_one(statement, parameters) is not None


_NO_CHANGES: dict[str, Any] = dict.fromkeys(("result", "score", "at")) | {
    "spend": 0, "stronger": False, "avoid": Json([])
}  # fmt: skip
