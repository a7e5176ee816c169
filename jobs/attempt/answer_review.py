"""The verdict on an answer: by the rules, and by a second model if the task requires it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import redis

from jobs.admission.limits import Limits, acquire
from jobs.admission.slots import Slots
from jobs.attempt.calling import ModelCaller, ModelCalls, best_effort
from jobs.attempt.lease_keeper import RunningAttempt
from jobs.attempt.preparation import category_of
from jobs.attempt.processors.base import ProcessorResult, TaskContext
from jobs.attempt.processors.second_opinion import second_opinion
from jobs.attempt.prompts import task_text
from jobs.policy.metadata import SecondOpinion
from jobs.policy.validation.judge import judge
from jobs.policy.validation.types import JUDGE_SECONDS, Answer, Request, Verdict
from jobs.process.clock import passed
from jobs.queues.task_message import TaskMessage
from jobs.settings.load import Settings
from llm.backends.base import BackendAdapter
from llm.errors import LLMError
from llm.kinds import traits_of
from llm.scanner import Scanner
from llm.types import ResidentModel
from models.database import DatabaseUnavailable

logger = logging.getLogger(__name__)


class AnswerReview:
    """Reviews the answers of this process."""

    def __init__(
        self,
        settings: Settings,
        *,
        calls: ModelCalls,
        scanner: Scanner,
        slots: Slots,
        limits: Limits,
    ) -> None:
        self._settings = settings
        self._calls = calls
        self._scanner = scanner
        self._slots = slots
        self._limits = limits

    def verdict(
        self,
        task: TaskMessage,
        result: ProcessorResult,
        context: TaskContext,
        running: RunningAttempt,
        *,
        category: str | None,
    ) -> Verdict:
        """Raises only CallCancelled, and only during a second opinion."""
        late = passed(JUDGE_SECONDS)
        answer = Answer(text=result.text, finish_reason=result.finish_reason)
        request = Request(
            prompt=result.prompt,
            task=task_text(context.title, context.description),
            category=category_of(category),
            language=context.options.language,
            required_parts=context.options.required_parts,
            response_schema=context.options.response_schema,
            verbatim=context.options.verbatim,
            abandoned=lambda: running.token.cancelled or late(),
        )
        verdict = judge(answer, request)
        if verdict.code == "echo":
            logger.warning(
                "Эхо-ответ от %s model=%s task=%s",
                task.backend,
                task.model,
                task.task_id,
            )
        if context.options.validator is not SecondOpinion.LLM or not verdict.ok:
            return verdict
        try:
            with self._another_model(task, running) as call:
                if call is not None:
                    verdict = second_opinion(verdict, answer, request, call=call)
        except (redis.RedisError, DatabaseUnavailable) as error:
            return replace(verdict, reason=f"no second opinion: {error}")
        return verdict

    @contextmanager
    def _another_model(
        self, task: TaskMessage, running: RunningAttempt
    ) -> Iterator[ModelCaller | None]:
        """A caller for a resident model other than the one that answered.

        None where there is no such model or no free slot: a second opinion is worth neither a
        reload nor a wait.
        """
        for backend, resident in self._candidates(task):
            heavy = self._scanner.is_heavy(backend.name, resident.name)
            with self._slot(task, backend.name, running, resident.name, heavy=heavy) as granted:
                if granted:
                    yield self._caller(backend, resident, running, heavy=heavy)
                    return
        yield None

    def _candidates(self, task: TaskMessage) -> Iterator[tuple[BackendAdapter, ResidentModel]]:
        calls = self._calls
        for name in (spec.name for spec in self._settings.backends):
            if calls.breakers.blocked(name) is None and calls.residency.seen(name):
                backend = calls.backends.get(name)
                for resident in _residents(backend):
                    if (name, resident.name) != (task.backend, task.model):
                        yield backend, resident

    @contextmanager
    def _slot(
        self, task: TaskMessage, backend: str, running: RunningAttempt, model: str, *, heavy: bool
    ) -> Iterator[bool]:
        """Hold permission for one call there; False if there is none.

        The call uses the attempt's own slot where that covers it, else a second one, which the
        lease keeper renews meanwhile.
        """
        if backend == task.backend and (task.heavy or not heavy):
            yield True
            return
        holder = f"opinion:{task.holder}"
        decision = acquire(
            self._slots, self._limits, backend, holder, model=model, heavy=heavy, wait=False
        )
        if not decision.granted:
            yield False
            return
        running.side_slots = ((backend, holder),)
        try:
            yield True
        finally:
            running.side_slots = ()
            best_effort(lambda: self._slots.release(backend, holder), otherwise=0)

    def _caller(
        self,
        backend: BackendAdapter,
        resident: ResidentModel,
        running: RunningAttempt,
        *,
        heavy: bool,
    ) -> ModelCaller:
        # A call with no context size, or another one, would reload the model.
        sized = traits_of(backend.spec.kind).takes_num_ctx
        return self._calls.caller(
            backend.name,
            running,
            model=resident.name,
            num_ctx=(resident.context_tokens or 0) if sized else 0,
            heavy=heavy,
        )


def _residents(backend: BackendAdapter) -> tuple[ResidentModel, ...]:
    """The resident models of the server; none where it does not answer."""
    try:
        return backend.resident_models()
    except LLMError as error:
        logger.info("no_opinion_from backend=%s error=%s", backend.name, error)
        return ()
