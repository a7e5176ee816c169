"""Decides the outcome of an attempt and writes it under the epoch of the claim."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from typing import Any

import redis

from jobs.attempt import knowledge, preparation
from jobs.attempt.answering import AttemptResult
from jobs.attempt.lease_keeper import CANCELLED, LEASE_LOST, SLOT_LOST, RunningAttempt
from jobs.planning.failover import Failover
from jobs.policy import knowledge_os
from jobs.policy.knowledge_os import Compat, Exhausted
from jobs.policy.outcome import AttemptEvent, Complete, Fail, Outcome, Retry, RetryConfig, decide
from jobs.process.clock import utc_now
from jobs.settings.load import Settings
from llm.types import GenerateRequest
from models import attempt
from models.database import DatabaseUnavailable, session
from models.decision import NewDecision
from models.marks import NO_MARKS, Marks
from models.task import Claimed, Ending, Measures, Task

logger = logging.getLogger(__name__)

WRITE_AGAIN_SECONDS = 0.5
LEFT_SECONDS = 60.0
"""After so long it is seen again whether the other program still works the row."""
TAKEN = "the row is no longer ours"
MOST_ANSWER_CHARS = 200_000
MOST_MESSAGE_CHARS = 100_000


class Recorder:
    """Writes the outcomes of this process."""

    def __init__(self, settings: Settings, *, failover: Failover) -> None:
        self._settings = settings
        self._failover = failover

    def record(
        self, claimed: Claimed, running: RunningAttempt, result: AttemptResult
    ) -> Outcome | None:
        """The outcome that was written; None where the row was no longer ours."""
        outcome = self._decide(claimed, result)
        written = self._write(claimed, running, outcome, result)
        # After the commit: the other system may find the answer only once it is a result.
        if written and isinstance(outcome, Complete) and result.answer is not None:
            knowledge.keep(claimed, _storable(result.answer.text), self._settings)
        return outcome if written else None

    def leave(self, claimed: Claimed, reason: str) -> bool:
        """Return the row for a while: another program works it."""
        line = NewDecision(claimed.id, "retry", "left to another program", reason)
        ending = Ending(error=reason, error_code="delegated", why=[line])
        at = utc_now() + timedelta(seconds=LEFT_SECONDS)
        return self._persist(
            claimed,
            lambda: Task.retry(claimed.id, claimed.epoch, ending, at=at, spend_attempt=False),
        )

    def return_interrupted(self, claimed: Claimed, error: Exception) -> bool:
        """Return the row without spending an attempt."""
        logger.warning("attempt_interrupted task=%s error=%s", claimed.id, error)
        return self._persist(claimed, partial(_interrupt, claimed, f"interrupted: {error}"))

    def _decide(self, claimed: Claimed, result: AttemptResult) -> Outcome:
        # Another attempt would be refused again: its row is at fault, no server.
        if isinstance(result.error, preparation.TaskRefused):
            return Fail(reason=str(result.error), code="refused")
        task, verdict = result.task, result.verdict
        event = AttemptEvent(
            verdict=verdict,
            error=result.error,
            attempt_count=claimed.row.attempt_count,
            backend=task.backend,
            model=task.model,
            # A good answer needs no other place, and looking for one reads the whole state.
            failover=not (verdict is not None and verdict.ok)
            and self._failover.is_possible(
                claimed.row, failed=(task.backend, task.model), error=result.error
            ),
        )
        config = RetryConfig(
            base_seconds=self._settings.retry_delay_seconds,
            max_attempts=self._settings.max_attempts,
        )
        return decide(event, config=config, now=utc_now(), jitter=random.random())

    def _write(
        self,
        claimed: Claimed,
        running: RunningAttempt,
        outcome: Outcome,
        result: AttemptResult,
    ) -> bool:
        reason = running.token.reason
        # An answer is written even if the lease looks lost: the epoch decides.
        if reason in (LEASE_LOST, SLOT_LOST) and not isinstance(outcome, Complete):
            logger.warning("attempt_abandoned task=%s reason=%s", claimed.id, reason)
            return reason == SLOT_LOST and self._persist(
                claimed, partial(_interrupt, claimed, SLOT_LOST)
            )
        if reason == CANCELLED:
            ending = _ending(result, "cancelled")
            return self._persist(
                claimed, lambda: Task.finish_cancel(claimed.id, claimed.epoch, ending)
            )
        marks = self._marks(claimed, outcome, result)
        note = self._note(claimed, outcome)
        return self._persist(claimed, lambda: _write_outcome(claimed, outcome, result, marks, note))

    def _marks(self, claimed: Claimed, outcome: Outcome, result: AttemptResult) -> Marks:
        if self._settings.compat is not Compat.KNOWLEDGE_OS:
            return NO_MARKS
        values = knowledge_os.marks(
            outcome,
            attempts=claimed.row.attempt_count,
            model=result.task.model,
            score=result.verdict.score if result.verdict is not None else None,
        )
        safe = {key: _storable(v) if isinstance(v, str) else v for key, v in values.items()}
        return Marks(safe, decoded=_decoded(claimed.row.metadata))

    def _note(self, claimed: Claimed, outcome: Outcome) -> str | None:
        if (
            not isinstance(outcome, Fail)
            or self._settings.exhausted is not Exhausted.COMPLETED_WITH_NOTE
        ):
            return None
        return _storable(knowledge_os.note_of(outcome, attempts=claimed.row.attempt_count + 1))

    def _persist(self, claimed: Claimed, write: Callable[[], bool]) -> bool:
        """Retry the write until Postgres accepts it, even after the lease has expired: ``write``
        changes nothing where the row is no longer ours.

        Gives up after ``SMART_WORKER_STUCK_MINUTES``; recovery has returned the row long before.
        """
        began, tries = time.monotonic(), 0
        while True:
            try:
                with session():
                    # An earlier try may have been committed although its confirmation was lost.
                    written = write() or (
                        tries > 0 and attempt.was_ended(claimed.id, claimed.epoch)
                    )
            except (DatabaseUnavailable, redis.RedisError) as error:
                if tries == 0:
                    logger.warning("outcome_not_written_yet task=%s error=%s", claimed.id, error)
                if time.monotonic() - began > self._settings.stuck_minutes * 60:
                    logger.exception("outcome_not_written task=%s", claimed.id)
                    return False
                tries += 1
                time.sleep(WRITE_AGAIN_SECONDS)
            else:
                if not written:
                    logger.warning("attempt_abandoned task=%s reason=%s", claimed.id, TAKEN)
                return written


def _write_outcome(
    claimed: Claimed, outcome: Outcome, result: AttemptResult, marks: Marks, note: str | None
) -> bool:
    task_id, epoch = claimed.id, claimed.epoch
    if isinstance(outcome, Complete):
        assert result.answer is not None
        written = Task.complete(
            task_id,
            epoch,
            replace(_ending(result, None), marks=marks),
            result=_storable(result.answer.text),
            score=outcome.score,
        )
    else:
        ending = _ending(result, outcome.code, outcome.reason)
        ending = replace(ending, why=[_retry_decision(task_id, outcome), *ending.why], marks=marks)
        written = _write_failure(claimed, outcome, ending, note)
    # A cancel may have arrived between the lease keeper's last check and this write.
    return written or Task.finish_cancel(task_id, epoch, _ending(result, "cancelled"))


def _write_failure(
    claimed: Claimed, outcome: Retry | Fail, ending: Ending, note: str | None
) -> bool:
    if isinstance(outcome, Fail):
        return Task.fail(claimed.id, claimed.epoch, ending, note=note)
    return Task.retry(
        claimed.id,
        claimed.epoch,
        ending,
        at=outcome.at,
        spend_attempt=outcome.spends_attempt,
        avoid=outcome.avoid,
        stronger=outcome.stronger,
    )


def _interrupt(claimed: Claimed, reason: str) -> bool:
    ending = Ending(measures=Measures(), error=_storable(reason), error_code="interrupted")
    return Task.retry(claimed.id, claimed.epoch, ending, at=None, spend_attempt=False)


def _ending(result: AttemptResult, code: str | None, error: str | None = None) -> Ending:
    seconds = time.monotonic() - result.began
    measures = Measures(duration_seconds=seconds)
    if result.spent is not None:
        measures = result.spent.measures(wait_seconds=None, duration_seconds=seconds)
    request = result.spent.request if result.spent is not None else None
    answer = result.answer.text if result.answer is not None else None
    if answer is None and result.spent is not None:
        answer = result.spent.answer
    return Ending(
        measures=measures,
        verdict=asdict(result.verdict) if result.verdict is not None else None,
        error=_storable(error or code) if code else None,
        error_code=code,
        messages=_sent(request) if request is not None else None,
        options=_options(request) if request is not None else None,
        finish_reason=result.answer.finish_reason if result.answer is not None else None,
        answer=_storable(answer[:MOST_ANSWER_CHARS]) if answer else None,
        why=_notes(result),
    )


def _notes(result: AttemptResult) -> list[NewDecision]:
    """The processor's notes, as decisions."""
    if result.answer is None:
        return []
    processor, task_id = result.answer.processor, result.task.task_id
    notes = map(_storable, result.answer.notes)
    return [NewDecision(task_id, "route", processor, note) for note in notes]


def _sent(request: GenerateRequest) -> list[dict[str, str]]:
    """The messages, with the longest cut so that all fit; each keeps its beginning."""
    most = MOST_MESSAGE_CHARS // len(request.messages)
    return [
        {"role": message.role, "content": _storable(message.content[:most])}
        for message in request.messages
    ]


def _options(request: GenerateRequest) -> dict[str, Any]:
    sizes = {"max_tokens": request.max_tokens, "num_ctx": request.num_ctx}
    return {**{name: size for name, size in sizes.items() if size}, **request.sampling.values()}


def _retry_decision(task_id: str, outcome: Retry | Fail) -> NewDecision:
    if isinstance(outcome, Fail):
        return NewDecision(task_id, "retry", "failed", _storable(outcome.reason))
    chosen = f"again at {outcome.at.isoformat(timespec='seconds')}"
    rejected = []
    if outcome.avoid:
        rejected = [{"option": "/".join(outcome.avoid), "reason": f"{outcome.code} there"}]
    return NewDecision(task_id, "retry", chosen, _storable(outcome.reason), rejected)


def _decoded(metadata: object) -> dict[str, Any] | None:
    """The object in metadata that was encoded twice; None for all else."""
    if not isinstance(metadata, str):
        return None
    try:
        found = json.loads(metadata)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _storable(text: str) -> str:
    # Postgres text cannot contain NUL.
    return text.replace("\x00", "�")
