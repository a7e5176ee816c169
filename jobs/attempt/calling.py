"""One model call of a running task: load, rate limit, guarded generation, measurement, breaker
report."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import redis

from jobs.admission.breakers import Breakers
from jobs.admission.rates import RateDecision, RateLimits, Rates
from jobs.admission.residency import Residency
from jobs.attempt.lease_keeper import RunningAttempt
from jobs.attempt.spent import Spent
from jobs.planning.learned_figures import DeadlineFigures, LearnedFigures
from jobs.policy.tokens import estimate_tokens
from jobs.process.tracing import span
from jobs.settings.load import Settings
from llm.backends.base import BackendAdapter
from llm.backends.registry import Backends
from llm.deadlines import deadlines_for, explained, prefill_seconds
from llm.errors import (
    CallCancelled,
    EchoAnswer,
    FirstTokenTimeout,
    LLMError,
    PoisonedCall,
    PromptTooLong,
)
from llm.kinds import traits_of
from llm.types import (
    SERVER_DEFAULTS,
    Completion,
    Deadlines,
    GenerateRequest,
    GenerationProgress,
    Message,
    Phase,
    Sampling,
)
from models.database import DatabaseUnavailable

logger = logging.getLogger(__name__)

RATE_PAUSE_SECONDS = 1.0
SURE_SHARE = 0.8
"""Token estimates are accurate to about a fifth."""
CUT_SUSPECTED_TOKENS = 2000
CUT_SUSPECTED_SHARE = 0.5

T = TypeVar("T")


class ModelCaller:
    """The :class:`jobs.attempt.processors.base.CallModel` of one attempt."""

    def __init__(
        self,
        backend: BackendAdapter,
        running: RunningAttempt,
        *,
        model: str,
        num_ctx: int,
        heavy: bool,
        figures: DeadlineFigures,
        settings: Settings,
        residency: Residency,
        rates: Rates,
        breakers: Breakers,
        in_use: Callable[[str], int],
        sampling: Sampling = SERVER_DEFAULTS,
        verbatim: bool = False,
        context_tokens: int | None = None,
    ) -> None:
        self._settings = settings
        self._residency = residency
        self._rates = rates
        self._breakers = breakers
        self._in_use = in_use
        self._backend = backend
        self._running = running
        self._model = model
        self._num_ctx = num_ctx
        self._heavy = heavy
        self._figures = figures
        self._sampling = sampling
        self._verbatim = verbatim
        self._context_tokens = context_tokens
        self.spent = Spent()

    def __call__(
        self,
        messages: tuple[Message, ...],
        *,
        max_tokens: int,
        response_schema: Mapping[str, Any] | None = None,
        step: str,
    ) -> Completion:
        """Make one call. Raises the errors of :mod:`llm.errors`.

        RedisError and DatabaseUnavailable mean an outage of the attempt's services, which is
        evidence against neither the server nor the task.
        """
        request = GenerateRequest(
            model=self._model,
            messages=messages,
            max_tokens=max_tokens,
            num_ctx=self._num_ctx or None,
            sampling=self._sampling,
            verbatim=self._verbatim,
            response_schema=response_schema,
            keep_alive=self._settings.ollama_keep_alive,
            request_id=f"{self._running.task_id}:{self._running.epoch}",
        )
        self.spent.request, self.spent.answer = request, None
        try:
            self._refuse_what_cannot_fit(request)
            with span("model call", self._running.task_id, step=step, model=self._model):
                load_seconds, completion = self._load_and_generate(request)
        except LLMError as error:
            self.spent.answer = error.partial_text or None
            self._failed(error, step)
            raise
        except (redis.RedisError, DatabaseUnavailable):
            raise
        except Exception as error:
            raise PoisonedCall(
                f"{type(error).__name__}: {error}", backend=self._backend.name, model=self._model
            ) from error
        self.spent.add(completion, load_seconds)
        # After `add`: the tokens of a refused answer were spent all the same.
        self._refuse_cut_prompt(request, completion)
        self._residency.used(self._backend.name, self._model, self._num_ctx)
        best_effort(
            lambda: self._breakers.succeeded(self._backend.name, self._model), otherwise=None
        )
        return completion

    def _load_and_generate(self, request: GenerateRequest) -> tuple[float, Completion]:
        self._running.progress = GenerationProgress(Phase.LOADING)
        load_seconds = self._residency.ensure(
            self._backend,
            self._model,
            self._num_ctx,
            deadlines=self._deadlines(request, resident=False, queue_seconds=0.0),
            cancel=self._running.token,
        )
        # Only servers that load models on demand may still have to load this one.
        loads_unseen = traits_of(self._backend.spec.kind).loads_unseen
        # After the load: the allowance of this minute could expire while the model loads.
        allowance = self._wait_for_rate(request)
        queue_seconds = self._queue_seconds()
        deadlines = self._deadlines(request, resident=not loads_unseen, queue_seconds=queue_seconds)
        self._running.progress = GenerationProgress(Phase.PREFILL)
        began = time.monotonic()
        try:
            completion = self._backend.generate(
                request,
                deadlines=deadlines,
                cancel=self._running.token,
                on_progress=self._on_progress,
            )
        except FirstTokenTimeout as error:
            raise self._explained(error, request, deadlines, queue_seconds) from error
        prompt_tokens = completion.prompt_tokens or _prompt_tokens(request)
        spent = prompt_tokens + completion.completion_tokens
        best_effort(lambda: self._rates.settle(allowance, tokens=spent), otherwise=False)
        return load_seconds + self._loaded_inside(completion, began), completion

    def _refuse_what_cannot_fit(self, request: GenerateRequest) -> None:
        """Refuse a prompt that is too long: some servers cut it and answer without an error."""
        tokens = _prompt_tokens(request)
        context = self._context_tokens
        if context is not None and tokens * SURE_SHARE > context:
            raise PromptTooLong(
                f"the prompt has about {tokens} tokens, and the context of {self._model} at "
                f"{self._backend.name} holds {context}: it was not sent",
                backend=self._backend.name,
                model=self._model,
            )

    def _refuse_cut_prompt(self, request: GenerateRequest, completion: Completion) -> None:
        """Raise where the server cut the prompt, since its answer ignores a part of it."""
        sent, read = _prompt_tokens(request), completion.prompt_tokens
        if read and sent > CUT_SUSPECTED_TOKENS and read < sent * CUT_SUSPECTED_SHARE:
            logger.warning(
                "prompt_cut backend=%s model=%s task=%s sent=%d read=%d",
                self._backend.name, self._model, self._running.task_id, sent, read,
            )  # fmt: skip
            raise PromptTooLong(
                f"{self._backend.name} read only {read} tokens of a prompt of about {sent}",
                backend=self._backend.name,
                model=self._model,
            )

    def _loaded_inside(self, completion: Completion, began: float) -> float:
        """Seconds that the call spent on loading the model. Servers report some loading time for a
        resident model as well, which does not count."""
        reported = completion.load_seconds or 0.0
        if reported <= traits_of(self._backend.spec.kind).warm_load_seconds:
            return 0.0
        self._residency.loaded_inside(
            self._backend.name,
            self._model,
            self._num_ctx,
            load_seconds=reported,
            call_seconds=time.monotonic() - began,
        )
        return reported

    def _wait_for_rate(self, request: GenerateRequest) -> RateDecision:
        """Wait until the backend's limits on requests and tokens per minute allow one more call."""
        spec = self._backend.spec
        limits = RateLimits(spec.requests_per_minute, spec.tokens_per_minute)
        prompt_tokens = _prompt_tokens(request)
        while True:
            decision = self._rates.try_acquire(
                spec.name, tokens=prompt_tokens + request.max_tokens, limits=limits
            )
            if decision.granted:
                return decision
            self._running.progress = GenerationProgress(Phase.WAITING)
            self._running.note = decision.reason
            pause = min(decision.retry_in_seconds or RATE_PAUSE_SECONDS, RATE_PAUSE_SECONDS)
            if self._running.token.wait(pause):
                raise CallCancelled(self._running.token.reason or "cancelled")

    def _queue_seconds(self) -> float:
        """How long our own earlier requests at this server may delay a new one, at worst."""
        service = self._figures.service_seconds or 0.0
        # This call holds one of them.
        ahead = self._in_use(self._backend.name) - 1
        return max(0, ahead) * service

    def _explained(
        self,
        error: FirstTokenTimeout,
        request: GenerateRequest,
        deadlines: Deadlines,
        queue_seconds: float,
    ) -> FirstTokenTimeout:
        """``error``, or what our own earlier requests or the prompt make of it."""
        prefill = prefill_seconds(_prompt_tokens(request), self._figures.prefill_seconds_per_token)
        # The allowance for a load inside the call is not time in the queue.
        cold = deadlines.load_seconds if traits_of(self._backend.spec.kind).loads_unseen else 0.0
        return explained(
            error,
            allowed_seconds=deadlines.first_token_seconds - cold,
            queue_seconds=queue_seconds,
            prefill_seconds=prefill,
        )

    def _deadlines(
        self, request: GenerateRequest, *, resident: bool, queue_seconds: float
    ) -> Deadlines:
        settings = self._settings
        return deadlines_for(
            llm_timeout_seconds=settings.llm_timeout_seconds,
            heavy=self._heavy,
            heavy_multiplier=settings.heavy_model_timeout_multiplier,
            load_buffer_seconds=settings.model_load_buffer_seconds,
            learned_load_seconds=self._figures.load_seconds,
            size_bytes=self._figures.size_bytes,
            learned_first_token_seconds=self._figures.first_token_seconds,
            max_tokens=request.max_tokens,
            learned_tokens_per_second=self._figures.tokens_per_second,
            prompt_tokens=_prompt_tokens(request),
            learned_prefill_seconds=self._figures.prefill_seconds_per_token,
            queue_seconds=queue_seconds,
            resident=resident,
        )

    def _on_progress(self, progress: GenerationProgress) -> None:
        self._running.progress = progress

    def _failed(self, error: LLMError, step: str) -> None:
        if isinstance(error, EchoAnswer):
            logger.warning(
                "Эхо-ответ от %s model=%s task=%s step=%s",
                self._backend.name, self._model, self._running.task_id, step,
            )  # fmt: skip
        # We ended the call, so it says nothing about the server.
        if isinstance(error, CallCancelled):
            return
        # The server may have restarted without its models: the next call looks before it trusts.
        if error.transient:
            self._residency.forget(self._backend.name)
        best_effort(
            lambda: self._breakers.failed(self._backend.name, self._model, error), otherwise=False
        )


@dataclass(frozen=True, slots=True)
class ModelCalls:
    """The services behind every model call of this process; :meth:`caller` is for one attempt."""

    settings: Settings
    backends: Backends
    figures: LearnedFigures
    residency: Residency
    rates: Rates
    breakers: Breakers
    in_use: Callable[[str], int]

    def caller(
        self,
        backend: str,
        running: RunningAttempt,
        *,
        model: str,
        num_ctx: int,
        heavy: bool,
        sampling: Sampling = SERVER_DEFAULTS,
        verbatim: bool = False,
        context_tokens: int | None = None,
    ) -> ModelCaller:
        """Raises DatabaseUnavailable where the learned figures cannot be read."""
        return ModelCaller(
            self.backends.get(backend),
            running,
            model=model,
            num_ctx=num_ctx,
            heavy=heavy,
            figures=self.figures.for_deadlines(backend, model),
            sampling=sampling,
            verbatim=verbatim,
            context_tokens=context_tokens,
            settings=self.settings,
            residency=self.residency,
            rates=self.rates,
            breakers=self.breakers,
            in_use=self.in_use,
        )


def _prompt_tokens(request: GenerateRequest) -> int:
    return sum(estimate_tokens(message.content) for message in request.messages)


def best_effort(note: Callable[[], T], *, otherwise: T) -> T:
    """The result of ``note``, or ``otherwise`` while Redis is away. For optional work only."""
    try:
        return note()
    except redis.RedisError as error:
        logger.warning("not_noted error=%s", error)
        return otherwise
