"""One attempt, from the claim of its row to its recorded outcome.

The steps of :meth:`Execution.run` are the life of an attempt. Whatever happens in between becomes
one outcome, written once, under the epoch of the claim.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial

import redis

from jobs.admission.middleware import Ticket
from jobs.attempt import preparation
from jobs.attempt.answer_review import Judge
from jobs.attempt.calling import ModelCaller
from jobs.attempt.checkpoints import RowCheckpoint
from jobs.attempt.lease_keeper import CANCELLED, LEASE_LOST, SLOT_LOST, RunningTask
from jobs.attempt.processors.base import ProcessorResult, TaskContext
from jobs.parts import Parts
from jobs.planning.failover import elsewhere
from jobs.policy.outcome import AttemptEvent, Complete, Fail, Outcome, Retry, RetryConfig, decide
from jobs.policy.validation.types import Verdict
from jobs.process.clock import utc_now
from jobs.process.tracing import span
from jobs.settings.load import Settings
from llm.errors import LLMError
from llm.types import SERVER_DEFAULTS, CancelToken, Sampling
from models import decision
from models.database import DatabaseUnavailable, database, session
from models.decision import NewDecision
from models.task import Claimed, Ending, Measures, Task

logger = logging.getLogger(__name__)


class Execution:
    """Works one ticket. ``run`` never raises for what a model server or an answer did."""

    def __init__(self, parts: Parts, ticket: Ticket, *, num_ctx: int) -> None:
        self._parts = parts
        self._settings = parts.runtime.settings
        self._ticket = ticket
        self._num_ctx = num_ctx
        self._began = time.monotonic()
        self._caller: ModelCaller | None = None

    def run(self) -> Outcome | None:
        """The outcome that was written, or None when the row was not (or no longer) ours."""
        place = {"backend": self._ticket.backend, "model": self._ticket.model}
        with span("run", self._ticket.task_id, **place):
            claimed = self._claim_or_leave()
            return None if claimed is None else self._run(claimed)

    def _claim_or_leave(self) -> Claimed | None:
        try:
            claimed = self._claim()
        except DatabaseUnavailable as error:
            # Whether the claim was made or not, recovery finds the row: queued without a message,
            # or running under a lease that nobody renews.
            logger.warning("claim_failed task=%s error=%s", self._ticket.task_id, error)
            self._parts.runtime.wakes.owe()
            return None
        if claimed is None:
            logger.info("not_claimed task=%s epoch=%d", self._ticket.task_id, self._ticket.epoch)
        return claimed

    def _run(self, claimed: Claimed) -> Outcome | None:
        running = self._parts.lease_keeper.add(
            claimed.id, claimed.epoch, backend=self._ticket.backend, token=CancelToken()
        )
        try:
            event, result = self._attempt(claimed, running)
            outcome = self._decide(event)
            written = self._write(claimed, running, event, outcome, result)
        except (DatabaseUnavailable, redis.RedisError) as error:
            logger.warning("attempt_interrupted task=%s error=%s", claimed.id, error)
            self._persist(partial(self._give_back, claimed, f"interrupted: {error}"))
            raise
        finally:
            self._parts.lease_keeper.remove(running)
        return outcome if written else None

    def _claim(self) -> Claimed | None:
        with session():
            return Task.claim(
                self._ticket.task_id,
                self._ticket.epoch,
                owner=self._parts.owner,
                lease_seconds=self._settings.lease_seconds,
            )

    def _attempt(
        self, claimed: Claimed, running: RunningTask
    ) -> tuple[AttemptEvent, ProcessorResult | None]:
        try:
            context = preparation.prepare(
                claimed,
                self._settings,
                running,
                num_ctx=self._num_ctx,
                model_sampling=self._model_sampling(),
            )
            result = self._work(claimed, running, context)
            verdict = Judge(self._parts, self._ticket).verdict(
                result, context, running, category=claimed.row["category"]
            )
        except preparation.Refused as refusal:
            return self._event(claimed, error=refusal), None
        except LLMError as error:
            return self._event(claimed, error=error), None
        except (DatabaseUnavailable, redis.RedisError):
            raise
        except Exception as error:
            logger.exception("attempt_broke task=%s", claimed.id)
            return self._event(claimed, error=error), None
        return self._event(claimed, verdict=verdict), result

    def _model_sampling(self) -> Sampling:
        scan = self._parts.runtime.scanner.last()
        server = scan.server(self._ticket.backend) if scan is not None else None
        known = server.model(self._ticket.model) if server is not None else None
        return known.info.sampling if known is not None else SERVER_DEFAULTS

    def _work(
        self, claimed: Claimed, running: RunningTask, context: TaskContext
    ) -> ProcessorResult:
        backend = self._parts.runtime.backends.get(self._ticket.backend)
        self._caller = ModelCaller(
            self._parts,
            backend,
            running,
            model=self._ticket.model,
            num_ctx=self._num_ctx,
            heavy=self._ticket.heavy,
            figures=self._parts.learning.for_deadlines(self._ticket.backend, self._ticket.model),
            sampling=context.sampling,
        )
        checkpoint = RowCheckpoint(running, claimed.row["checkpoint"])
        choice = self._parts.processors.choose(context.options)
        result = choice.processor.run(context, self._caller, checkpoint=checkpoint)
        asked_for = context.options.source or context.options.delegate
        return replace(result, notes=(choice.reason, *result.notes)) if asked_for else result

    def _event(
        self,
        claimed: Claimed,
        *,
        verdict: Verdict | None = None,
        error: Exception | None = None,
    ) -> AttemptEvent:
        return AttemptEvent(
            verdict=verdict,
            error=error,
            attempt_count=claimed.row["attempt_count"],
            backend=self._ticket.backend,
            model=self._ticket.model,
            elsewhere=not (verdict is not None and verdict.ok)
            and elsewhere(self._parts, claimed.row, than=self._ticket.backend, error=error),
        )

    def _decide(self, event: AttemptEvent) -> Outcome:
        if isinstance(event.error, preparation.Refused):
            return Fail(reason=str(event.error), code="refused")
        config = retry_config(self._settings)
        return decide(event, config=config, now=utc_now(), jitter=random.random())

    def _write(
        self,
        claimed: Claimed,
        running: RunningTask,
        event: AttemptEvent,
        outcome: Outcome,
        result: ProcessorResult | None,
    ) -> bool:
        if running.token.reason in (LEASE_LOST, SLOT_LOST):
            logger.warning("attempt_abandoned task=%s reason=%s", claimed.id, running.token.reason)
            return running.token.reason == SLOT_LOST and self._persist(
                partial(self._give_back, claimed, SLOT_LOST)
            )
        if running.token.reason == CANCELLED:
            return self._persist(
                lambda: Task.finish_cancel(
                    claimed.id, claimed.epoch, self._ending(event, "cancelled")
                )
            )
        return self._persist(lambda: self._record(claimed, event, outcome, result))

    def _record(
        self,
        claimed: Claimed,
        event: AttemptEvent,
        outcome: Outcome,
        result: ProcessorResult | None,
    ) -> bool:
        task_id, epoch = claimed.id, claimed.epoch
        if isinstance(outcome, Complete):
            assert result is not None
            ending = self._ending(event, None)
            written = Task.complete(
                task_id, epoch, ending, result=_storable(result.text), score=outcome.score
            )
        elif isinstance(outcome, Retry):
            written = Task.retry(
                task_id,
                epoch,
                self._ending(event, outcome.code, outcome.reason),
                at=outcome.at,
                spend_attempt=outcome.spends_attempt,
                avoid=outcome.avoid,
                stronger=outcome.stronger,
            )
        else:
            ending = self._ending(event, outcome.code, outcome.reason)
            written = Task.fail(task_id, epoch, ending)
        if not written:
            # A cancel may have arrived between the last look of the lease keeper and this write.
            written = Task.finish_cancel(task_id, epoch, self._ending(event, "cancelled"))
        elif not isinstance(outcome, Complete):
            decision.record([_retry_decision(task_id, outcome)])
        notes = result.notes if result is not None else ()
        decision.record([NewDecision(task_id, "route", result.processor, note)
                         for note in notes if result is not None])  # fmt: skip
        return written

    def _give_back(self, claimed: Claimed, reason: str) -> bool:
        ending = Ending(measures=Measures(), error=_storable(reason), error_code="interrupted")
        return Task.retry(claimed.id, claimed.epoch, ending, at=None, spend_attempt=False)

    def _ending(self, event: AttemptEvent, code: str | None, error: str | None = None) -> Ending:
        measures = Measures(duration_seconds=time.monotonic() - self._began)
        if self._caller is not None:
            measures = self._caller.spent.measures(
                wait_seconds=None, duration_seconds=time.monotonic() - self._began
            )
        return Ending(
            measures=measures,
            verdict=asdict(event.verdict) if event.verdict is not None else None,
            error=_storable(error or code) if code else None,
            error_code=code,
        )

    def _persist(self, write: Callable[[], bool]) -> bool:
        """Write while the lease may still be ours; after that recovery has the row anyway."""
        task_id, began = self._ticket.task_id, time.monotonic()
        tries = 0
        while True:
            try:
                with session(), database.atomic():
                    return write()
            except (DatabaseUnavailable, redis.RedisError) as error:
                if tries == 0:
                    logger.warning("outcome_not_written_yet task=%s error=%s", task_id, error)
                if time.monotonic() - began > self._settings.lease_seconds:
                    logger.exception("outcome_not_written task=%s", task_id)
                    return False
                tries += 1
                time.sleep(0.5)


def retry_config(settings: Settings) -> RetryConfig:
    return RetryConfig(
        base_seconds=settings.retry_delay_seconds,
        max_attempts=settings.max_attempts,
    )


def _retry_decision(task_id: str, outcome: Retry | Fail) -> NewDecision:
    if isinstance(outcome, Fail):
        return NewDecision(task_id, "retry", "failed", outcome.reason)
    chosen = f"again at {outcome.at.isoformat(timespec='seconds')}"
    rejected = []
    if outcome.avoid:
        rejected = [{"option": "/".join(outcome.avoid), "reason": f"{outcome.code} there"}]
    return NewDecision(task_id, "retry", chosen, outcome.reason, rejected)


def _storable(text: str) -> str:
    # Postgres text holds no NUL.
    return text.replace("\x00", "�")
