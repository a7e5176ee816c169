"""What all adapters share: watched calls, mapped errors, generation and the canary."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from llm import errors
from llm.backends.concessions import (
    SHORTEST_ANSWER,
    Concessions,
    LearnedConcessions,
    SchemaStep,
    concessions_after,
    room_told,
)
from llm.backends.mapping import from_error_line, mapped_errors
from llm.backends.streaming import Wire, WireCall, complete
from llm.backends.transport import HttpTransport, decode
from llm.framing import JsonObject
from llm.kinds import TRAITS
from llm.types import (
    BackendHealth,
    BackendSpec,
    CancelToken,
    Completion,
    Deadlines,
    GenerateRequest,
    Message,
    ModelInfo,
    ProgressHook,
)
from llm.watch import CallWatch

T = TypeVar("T")

logger = logging.getLogger(__name__)

QUICK_SECONDS = 10.0
UNLOAD_SECONDS = 60.0
UNKNOWN_VERSION = "unknown"
CANARY_DEADLINES = Deadlines(first_token_seconds=120.0, between_tokens_seconds=10.0)


class HttpBackend:
    """Base of the adapters. ``api_key`` goes into a header and nowhere else; ``ca_bundle`` is a
    file of certificates to trust in place of the usual ones."""

    def __init__(
        self,
        spec: BackendSpec,
        *,
        wire: Wire,
        api_key: str | None = None,
        ca_bundle: str | None = None,
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self._wire = wire
        self._learned = LearnedConcessions()
        self._transport = HttpTransport(spec, api_key=api_key, ca_bundle=ca_bundle)

    def describe(self, model: ModelInfo) -> ModelInfo:
        return model

    def generate(
        self,
        request: GenerateRequest,
        *,
        deadlines: Deadlines,
        cancel: CancelToken | None = None,
        on_progress: ProgressHook | None = None,
    ) -> Completion:
        return self._complete(request, deadlines=deadlines, cancel=cancel, on_progress=on_progress)

    def canary(
        self, model: str, *, num_ctx: int | None = None, deadlines: Deadlines = CANARY_DEADLINES
    ) -> None:
        # Sent without a keep-alive, so that Ollama keeps the one that the model has.
        self._one_token(model, num_ctx=num_ctx, deadlines=deadlines)

    def embed(self, model: str, texts: Sequence[str], *, seconds: float) -> list[list[float]]:
        ollama = TRAITS[self.spec.kind].speaks_ollama
        body: dict[str, Any] = {"model": model, "input": list(texts)}
        path = "/api/embed" if ollama else "/v1/embeddings"
        return self._post(path, body, _vectors_of, model=model, seconds=seconds)

    def health(self) -> BackendHealth:
        try:
            return self._health()
        except errors.LLMError as exc:
            return BackendHealth(reachable=False, error=f"{exc.code}: {exc}")

    def close(self) -> None:
        self._transport.close()

    def _health(self) -> BackendHealth:
        raise NotImplementedError

    def _load_by_token(
        self, model: str, *, deadlines: Deadlines, cancel: CancelToken | None
    ) -> float:
        """Generate one token, which loads the model; returns the seconds it took."""
        load = deadlines.load_seconds
        bounds = replace(deadlines, first_token_seconds=load, total_seconds=load + 1.0)
        try:
            return self._one_token(model, deadlines=bounds, cancel=cancel)
        except errors.FirstTokenTimeout as exc:
            late = _load_timeout(load)
            late.backend, late.model = exc.backend, exc.model
            raise late from exc

    def _one_token(
        self,
        model: str,
        *,
        num_ctx: int | None = None,
        deadlines: Deadlines,
        cancel: CancelToken | None = None,
    ) -> float:
        """Generate one token; returns the seconds it took."""
        messages = (Message("user", "Say yes."),)
        request = GenerateRequest(model, messages, max_tokens=1, num_ctx=num_ctx)
        started = time.monotonic()
        self._complete(request, deadlines=deadlines, cancel=cancel, any_text=True)
        return time.monotonic() - started

    def _complete(self, request: GenerateRequest, **how: Any) -> Completion:
        """Stream an answer; when the server rejects an optional field, remember that and retry
        without it; when it names the room that the prompt leaves, retry within that. ``how`` holds
        the arguments of `complete`."""
        model, used = request.model, self._learned.of(request.model)
        while True:
            call = WireCall(self._wire, request, used)
            try:
                completion = complete(self._transport, call, backend=self.name, **how)
            except (errors.FieldRefused, errors.SchemaUnsupported) as refused:
                weaker = concessions_after(used, refused)
                if weaker is None:
                    raise
                logger.info("field_left_out backend=%s reason=%s", self.name, refused)
                self._learned.learn(model, weaker, concerns=refused.concerns)
                used = weaker
                continue
            except errors.PromptTooLong as refused:
                room = room_told(refused)
                if room is None or not SHORTEST_ANSWER <= room < request.max_tokens:
                    raise
                request = replace(request, max_tokens=room)
                continue
            if call.schema_was_ignored(completion):
                in_prompt = Concessions(schema=SchemaStep.PROMPT)
                self._learned.learn(model, in_prompt, concerns="model")
            return completion

    def _get_bytes(self, path: str, transport: HttpTransport | None = None) -> bytes:
        with (
            CallWatch(total_seconds=QUICK_SECONDS) as watch,
            mapped_errors(backend=self.name, watch=watch),
        ):
            return (transport or self._transport).get(path, watch=watch)

    def _get(self, path: str, read: Callable[[JsonObject], T]) -> T:
        """GET ``path`` and apply ``read`` to the JSON object."""
        with (
            CallWatch(total_seconds=QUICK_SECONDS) as watch,
            mapped_errors(backend=self.name, watch=watch),
        ):
            return read(decode(self._transport.get(path, watch=watch)))

    def _post(
        self,
        path: str,
        body: Mapping[str, Any],
        read: Callable[[JsonObject], T],
        *,
        model: str,
        seconds: float = QUICK_SECONDS,
    ) -> T:
        """POST ``body`` and apply ``read`` to the JSON answer. Errors name ``model``."""
        with (
            CallWatch(total_seconds=seconds) as watch,
            mapped_errors(backend=self.name, model=model, watch=watch),
        ):
            return read(decode(self._transport.post(path, body, watch=watch)))

    def _load(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        model: str,
        deadlines: Deadlines,
        cancel: CancelToken | None,
    ) -> float:
        """POST a request that makes the server load ``model``; returns the seconds it took."""
        started = time.monotonic()
        with (
            CallWatch(total_seconds=deadlines.load_seconds + 1.0, cancel=cancel) as watch,
            mapped_errors(backend=self.name, model=model, watch=watch),
        ):
            watch.expect(_load_timeout, deadlines.load_seconds)
            try:
                answer = self._transport.post(
                    path, body, watch=watch, connect_seconds=deadlines.connect_seconds
                )
                raise_error_in(decode(answer))
            except errors.ServerFailed as exc:
                raise _load_failed(exc) from exc
        return time.monotonic() - started


def _vectors_of(body: JsonObject) -> list[list[float]]:
    """Of Ollama's answer or OpenAI's. Raises BadAnswer for what holds no vectors."""
    found = body.get("embeddings")
    if found is None and isinstance(data := body.get("data"), list):
        found = [item.get("embedding") if isinstance(item, dict) else None for item in data]
    if not isinstance(found, list) or not all(map(_is_vector, found)):
        raise errors.ServerFailed("the server's answer holds no embeddings")
    return found


def _is_vector(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(number, int | float) and math.isfinite(number) for number in value
    )


def version_of(body: JsonObject) -> str:
    return str(body.get("version") or UNKNOWN_VERSION)


def raise_error_in(answer: JsonObject) -> None:
    """Raise for an error body that came with status 200."""
    if answer.get("error"):
        raise from_error_line(answer["error"])


def optional(call: Callable[[], T]) -> T | None:
    """The result, or None where the server does not have that path."""
    try:
        return call()
    except errors.LLMError as exc:
        if is_missing_path(exc):
            return None
        raise


def is_missing_path(exc: errors.LLMError) -> bool:
    return exc.status in (404, 405, 501)


def _load_failed(exc: errors.LLMError) -> errors.LoadFailed:
    return errors.LoadFailed(
        f"the model did not load: {exc}",
        status=exc.status,
        retry_after_seconds=exc.retry_after_seconds,
        body_excerpt=exc.body_excerpt,
    )


def _load_timeout(seconds: float) -> errors.LLMError:
    return errors.LoadTimeout(f"the model did not load within {seconds:g} s")
