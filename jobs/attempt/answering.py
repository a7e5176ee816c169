"""Turns a claimed row into an answer with a verdict, or an error."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace

import redis

from jobs.attempt import preparation
from jobs.attempt.answer_review import AnswerReview
from jobs.attempt.calling import ModelCalls
from jobs.attempt.checkpoints import RowCheckpoint
from jobs.attempt.lease_keeper import RunningAttempt
from jobs.attempt.processors.base import ProcessorResult, TaskContext
from jobs.attempt.processors.registry import Registry
from jobs.attempt.spent import Spent
from jobs.attempt.structured_output import StructuredCalls
from jobs.policy.validation.types import Verdict
from jobs.queues.task_message import TaskMessage
from jobs.settings.load import Settings
from llm.errors import LLMError
from llm.scanner import Scanner
from llm.types import SERVER_DEFAULTS, ModelInfo
from models.database import DatabaseUnavailable
from models.task import Claimed

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class AttemptResult:
    """The result of an attempt: ``answer`` and ``verdict``, or ``error``.

    ``began`` is a monotonic time in seconds, ``spent`` the cost of its model calls so far.
    """

    task: TaskMessage
    began: float = field(default_factory=time.monotonic)
    spent: Spent | None = None
    answer: ProcessorResult | None = None
    verdict: Verdict | None = None
    error: Exception | None = None


class Answering:
    """Prepares tasks, runs their processors, and has the answers reviewed."""

    def __init__(
        self,
        settings: Settings,
        *,
        scanner: Scanner,
        processors: Registry,
        calls: ModelCalls,
        review: AnswerReview,
    ) -> None:
        self._settings = settings
        self._scanner = scanner
        self._processors = processors
        self._calls = calls
        self._review = review

    def answer(self, task: TaskMessage, claimed: Claimed, running: RunningAttempt) -> AttemptResult:
        """Raises only DatabaseUnavailable and RedisError: an outage is not the task's failure."""
        result = AttemptResult(task)
        model = self._model_at(task)
        try:
            context = preparation.prepare(
                claimed,
                self._settings,
                running,
                num_ctx=task.num_ctx,
                model_context=model.context_tokens if model is not None else None,
                model_sampling=model.sampling if model is not None else SERVER_DEFAULTS,
            )
            answer = self._process(result, claimed, running, context)
            result.verdict = self._review.verdict(
                task, answer, context, running, category=claimed.row.category
            )
            # Set after the review: an error in the review must not leave an unjudged answer.
            result.answer = answer
        except (preparation.TaskRefused, LLMError) as error:
            result.error = error
        except (DatabaseUnavailable, redis.RedisError):
            raise
        except Exception as error:
            logger.exception("attempt_broke task=%s", claimed.id)
            result.error = error
        return result

    def _model_at(self, task: TaskMessage) -> ModelInfo | None:
        scan = self._scanner.last()
        server = scan.server(task.backend) if scan is not None else None
        known = server.model(task.model) if server is not None else None
        return known.info if known is not None else None

    def _process(
        self,
        result: AttemptResult,
        claimed: Claimed,
        running: RunningAttempt,
        context: TaskContext,
    ) -> ProcessorResult:
        task = result.task
        caller = self._calls.caller(
            task.backend,
            running,
            model=task.model,
            num_ctx=task.num_ctx,
            heavy=task.heavy,
            sampling=context.sampling,
            verbatim=context.options.verbatim,
            context_tokens=context.context_tokens,
        )
        result.spent = caller.spent
        checkpoint = RowCheckpoint(running, claimed.row.checkpoint)
        choice = self._processors.choose(context.options)
        calls = StructuredCalls(caller)
        answer = choice.processor.run(context, calls, checkpoint=checkpoint)
        answer = replace(answer, notes=(*answer.notes, *calls.notes))
        # A timeline names the processor only where the creator of the task requested one.
        by_request = context.options.source or context.options.delegate
        return replace(answer, notes=(choice.reason, *answer.notes)) if by_request else answer
