"""The verdict on an answer: by the rules, and by another model where the task wants it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import redis

from jobs.admission.limits import acquire
from jobs.admission.middleware import Ticket
from jobs.attempt.calling import ModelCaller, best_effort
from jobs.attempt.lease_keeper import RunningTask
from jobs.attempt.preparation import category_of
from jobs.attempt.processors.base import ProcessorResult, TaskContext
from jobs.attempt.processors.second_opinion import second_opinion
from jobs.attempt.prompts import task_text
from jobs.parts import Parts
from jobs.policy.metadata import SecondOpinion
from jobs.policy.validation.judge import judge
from jobs.policy.validation.types import Answer, Request, Verdict
from llm.backends.base import Backend
from llm.errors import LLMError
from llm.kinds import traits_of
from llm.types import ResidentModel
from models.database import DatabaseUnavailable

logger = logging.getLogger(__name__)


class Judge:
    """Judges the answers of one ticket."""

    def __init__(self, parts: Parts, ticket: Ticket) -> None:
        self._parts = parts
        self._ticket = ticket

    def verdict(
        self,
        result: ProcessorResult,
        context: TaskContext,
        running: RunningTask,
        *,
        category: str | None,
    ) -> Verdict:
        """Raises CallCancelled only, and only while a second opinion is asked."""
        answer = Answer(text=result.text, finish_reason=result.finish_reason)
        request = Request(
            prompt=result.prompt,
            task=task_text(context.title, context.description),
            category=category_of(category),
            language=context.options.language,
            required_parts=context.options.required_parts,
            response_schema=context.options.response_schema,
        )
        verdict = judge(answer, request)
        if verdict.code == "echo":
            logger.warning(
                "Эхо-ответ от %s model=%s task=%s",
                self._ticket.backend,
                self._ticket.model,
                self._ticket.task_id,
            )
        if context.options.validator is not SecondOpinion.LLM or not verdict.ok:
            return verdict
        try:
            with self._another_model(running) as call:
                if call is not None:
                    verdict = second_opinion(verdict, answer, request, call=call)
        except (redis.RedisError, DatabaseUnavailable) as error:
            return replace(verdict, reason=f"no second opinion: {error}")
        return verdict

    @contextmanager
    def _another_model(self, running: RunningTask) -> Iterator[ModelCaller | None]:
        """A caller of a model that is in memory now and is not the one that answered; None where
        there is none or no slot is free: an opinion is worth neither a reload nor a wait."""
        for backend, resident in self._candidates():
            heavy = self._is_heavy(backend.name, resident.name)
            with self._slot(backend.name, running, heavy=heavy) as granted:
                if granted:
                    yield self._caller(backend, resident, running, heavy=heavy)
                    return
        yield None

    def _candidates(self) -> Iterator[tuple[Backend, ResidentModel]]:
        runtime = self._parts.runtime
        for name in (spec.name for spec in runtime.settings.backends):
            if runtime.breakers.blocked(name) is None and self._parts.residency.seen(name):
                backend = runtime.backends.get(name)
                for resident in _residents(backend):
                    if (name, resident.name) != (self._ticket.backend, self._ticket.model):
                        yield backend, resident

    def _is_heavy(self, backend: str, model: str) -> bool:
        scan = self._parts.runtime.scanner.last()
        server = scan.server(backend) if scan is not None else None
        known = server.model(model) if server is not None else None
        return known is not None and known.heavy

    @contextmanager
    def _slot(self, backend: str, running: RunningTask, *, heavy: bool) -> Iterator[bool]:
        """Whether one call may run there: in the slot of the attempt where that admits it, else
        in one more, which the lease keeper keeps meanwhile."""
        if backend == self._ticket.backend and (self._ticket.heavy or not heavy):
            yield True
            return
        holder = f"opinion:{self._ticket.holder}"
        slots, limits = self._parts.runtime.slots, self._parts.runtime.limits
        if not acquire(slots, limits, backend, holder, heavy=heavy, wait=False).granted:
            yield False
            return
        running.side_slots = ((backend, holder),)
        try:
            yield True
        finally:
            running.side_slots = ()
            best_effort(lambda: slots.release(backend, holder), otherwise=0)

    def _caller(
        self, backend: Backend, resident: ResidentModel, running: RunningTask, *, heavy: bool
    ) -> ModelCaller:
        # A call that names no context, or another one, would load the model anew.
        sized = traits_of(backend.spec.kind).takes_num_ctx
        return ModelCaller(
            self._parts,
            backend,
            running,
            model=resident.name,
            num_ctx=(resident.context_tokens or 0) if sized else 0,
            heavy=heavy,
            figures=self._parts.learning.for_deadlines(backend.name, resident.name),
        )


def _residents(backend: Backend) -> tuple[ResidentModel, ...]:
    """What is in memory there now; nothing where the server does not say."""
    try:
        return backend.resident_models()
    except LLMError as error:
        logger.info("not_asked_for_an_opinion backend=%s error=%s", backend.name, error)
        return ()
