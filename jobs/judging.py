"""The verdict on an answer: by the rules, and by another model where the task wants it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.calling import ModelCaller
from jobs.heart import Pulse
from jobs.middleware.slots import Ticket
from jobs.parts import Parts
from jobs.policy.metadata import SecondOpinion
from jobs.policy.validation.judge import judge
from jobs.policy.validation.types import Answer, Request, Verdict
from jobs.processors.base import ProcessorResult, TaskContext
from jobs.processors.second_opinion import second_opinion
from jobs.prompts import task_text
from llm.types import Category

logger = logging.getLogger(__name__)


class Judge:
    """Judges the answers of one ticket."""

    def __init__(self, parts: Parts, ticket: Ticket) -> None:
        self._parts = parts
        self._ticket = ticket

    def verdict(
        self, result: ProcessorResult, context: TaskContext, pulse: Pulse, *, category: str | None
    ) -> Verdict:
        """Raises CallCancelled only, and only while a second opinion is asked."""
        answer = Answer(text=result.text, finish_reason=result.finish_reason)
        request = Request(
            prompt=result.prompt,
            task=task_text(context.title, context.description),
            category=_category(category),
            language=context.options.language,
            required_parts=context.options.required_parts,
            response_schema=context.options.response_schema,
        )
        verdict = judge(answer, request)
        if verdict.code == "echo":
            logger.warning(
                "echo_response backend=%s model=%s task=%s",
                self._ticket.backend,
                self._ticket.model,
                self._ticket.task_id,
            )
        if context.options.validator is not SecondOpinion.LLM:
            return verdict
        with self._another_model(pulse) as call:
            return verdict if call is None else second_opinion(verdict, answer, request, call=call)

    @contextmanager
    def _another_model(self, pulse: Pulse) -> Iterator[ModelCaller | None]:
        """A caller of a model that is in memory now and is not the one that answered; None where
        there is none or no slot is free: an opinion is worth neither a reload nor a wait."""
        for backend, model in self._candidates():
            elsewhere = backend != self._ticket.backend
            if elsewhere and not self._slot(backend):
                continue
            try:
                yield self._caller(backend, model, pulse)
            finally:
                if elsewhere:
                    self._parts.runtime.slots.release(backend, self._holder)
            return
        yield None

    def _candidates(self) -> Iterator[tuple[str, str]]:
        for spec in self._parts.runtime.settings.backends:
            if self._parts.runtime.breakers.blocked(spec.name) is None:
                for model in self._parts.residency.seen(spec.name) or ():
                    if (spec.name, model) != (self._ticket.backend, self._ticket.model):
                        yield spec.name, model

    def _slot(self, backend: str) -> bool:
        limit = self._parts.runtime.limits.of(backend).slots
        slots = self._parts.runtime.slots
        return slots.acquire(backend, self._holder, limit=limit, wait=False).granted

    @property
    def _holder(self) -> str:
        return f"opinion:{self._ticket.holder}"

    def _caller(self, backend: str, model: str, pulse: Pulse) -> ModelCaller:
        return ModelCaller(
            self._parts,
            self._parts.runtime.backends.get(backend),
            pulse,
            model=model,
            num_ctx=0,
            heavy=False,
            figures=self._parts.learning.for_deadlines(backend, model),
        )


def _category(text: str | None) -> Category:
    return Category(text) if text in set(Category) else Category.DEFAULT
