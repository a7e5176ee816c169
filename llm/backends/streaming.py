"""One generation from request to whole answer: combines deadlines, wire format, guard and
progress."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from llm import errors
from llm.backends.concessions import NOTHING_LEFT_OUT, SYSTEM, Concessions, SchemaStep
from llm.backends.finish import FinishReason
from llm.backends.mapping import from_no_chat, mapped_errors
from llm.backends.transport import HttpTransport
from llm.framing import JsonObject
from llm.guard import AnswerGuard
from llm.types import (
    CancelToken,
    Completion,
    Deadlines,
    GenerateRequest,
    GenerationProgress,
    Phase,
    ProgressHook,
)
from llm.watch import CallWatch

REPORT_SECONDS = 1.0
REFUSAL_CHARS = 2000


class Sink(Protocol):
    """Receives what a wire format reads from a stream."""

    finish_reason: FinishReason | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_prompt_tokens: int | None
    load_seconds: float | None
    prefill_seconds: float | None
    decode_seconds: float | None

    def text(self, piece: str) -> None: ...

    def thought(self, piece: str) -> None: ...

    def refused(self, piece: str) -> None: ...

    def called_tool(self, name: str) -> None: ...


class Wire(Protocol):
    """How to call one kind of server and read its stream."""

    path: str
    required: frozenset[str]
    """Body fields that every server must accept."""
    events: frozenset[str]
    """Keys of a chunk: each has one of them at least."""

    def body(self, request: GenerateRequest, concessions: Concessions) -> JsonObject: ...

    def objects(self, chunks: Iterable[bytes]) -> Iterator[JsonObject | None]: ...

    def read(self, chunk: JsonObject | None, sink: Sink) -> bool:
        """Pass the chunk's parts to ``sink``; True when it is the terminal marker."""
        ...


@dataclass(frozen=True, slots=True)
class WireCall:
    """A request in a wire format, without the fields that the server is known to reject."""

    wire: Wire
    request: GenerateRequest
    concessions: Concessions = NOTHING_LEFT_OUT

    @property
    def sends_schema(self) -> bool:
        with_schema = self.request.response_schema is not None
        return with_schema and self.concessions.schema is not SchemaStep.PROMPT

    def body(self) -> JsonObject:
        return self.wire.body(self.concessions.applied(self.request), self.concessions)

    def optional(self, body: JsonObject) -> frozenset[str]:
        """What may be left out of ``body``, should the server refuse it."""
        leads = body["messages"][0]["role"] == SYSTEM
        return frozenset(body.keys() - self.wire.required | ({SYSTEM} if leads else set()))

    def schema_was_ignored(self, completion: Completion) -> bool:
        """True if the server accepted the schema but did not enforce it."""
        if not self.sends_schema or completion.finish_reason != "stop":
            return False
        try:
            json.loads(completion.text)
        except (ValueError, RecursionError):
            return True
        return False


def complete(
    transport: HttpTransport,
    call: WireCall,
    *,
    backend: str,
    deadlines: Deadlines,
    cancel: CancelToken | None = None,
    on_progress: ProgressHook | None = None,
    any_text: bool = False,
) -> Completion:
    """Stream one answer. Raises only `LLMError`s, each with the text so far.

    ``any_text`` also accepts blank, echoed and thinking-only answers: a canary proves that the
    model generates, not that it makes sense.
    """
    with CallWatch(total_seconds=deadlines.total_seconds, cancel=cancel) as watch:
        answer = _StreamedAnswer(
            call.request, watch=watch, deadlines=deadlines, on_progress=on_progress
        )
        try:
            with mapped_errors(backend=backend, model=call.request.model, watch=watch):
                _read(transport, call, answer, watch=watch, deadlines=deadlines)
                if cancel is not None and cancel.cancelled:
                    raise errors.CallCancelled(f"cancelled: {cancel.reason}")
                return answer.completion(backend=backend, any_text=any_text)
        except errors.LLMError as exc:
            exc.partial_text = exc.partial_text or answer.partial_text
            raise


def _read(
    transport: HttpTransport,
    call: WireCall,
    answer: _StreamedAnswer,
    *,
    watch: CallWatch,
    deadlines: Deadlines,
) -> None:
    watch.expect(_first_token_timeout, deadlines.first_token_seconds)
    answer.report(Phase.WAITING)
    body = call.body()
    with transport.stream(
        call.wire.path,
        body,
        watch=watch,
        connect_seconds=deadlines.connect_seconds,
        with_schema=call.sends_schema,
        optional=call.optional(body),
        request_id=call.request.request_id,
    ) as stream:
        answer.report(Phase.PREFILL)
        read, events = call.wire.read, call.wire.events
        chunks = stream.chunks
        beginning = next(chunks, b"")
        is_chat = not beginning
        for chunk in call.wire.objects(chain([beginning], chunks)):
            is_chat = is_chat or chunk is None or not events.isdisjoint(chunk)
            if read(chunk, answer):
                stream.drain()
                return
    if not is_chat:
        raise from_no_chat(beginning)
    raise errors.TruncatedStream("the stream ended without its terminal marker")


class _StreamedAnswer:
    """The sink of one stream: passes text to the guard, activity to the watch and phases to the
    hook."""

    __slots__ = (
        "_deadlines",
        "_first_at",
        "_guard",
        "_hook",
        "_next_report",
        "_refusal",
        "_request",
        "_tool",
        "_watch",
        "cached_prompt_tokens",
        "completion_tokens",
        "decode_seconds",
        "finish_reason",
        "load_seconds",
        "prefill_seconds",
        "prompt_tokens",
    )

    def __init__(
        self,
        request: GenerateRequest,
        *,
        watch: CallWatch,
        deadlines: Deadlines,
        on_progress: ProgressHook | None,
    ) -> None:
        self._request = request
        self._watch = watch
        self._deadlines = deadlines
        self._hook = on_progress
        prompt = "" if request.verbatim else request.prompt_text
        self._guard = AnswerGuard(prompt=prompt, max_tokens=request.max_tokens)
        self._refusal = ""
        self._tool: str | None = None
        self._first_at: float | None = None
        self._next_report = float("inf")
        self.finish_reason: FinishReason | None = None
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.cached_prompt_tokens: int | None = None
        self.load_seconds: float | None = None
        self.prefill_seconds: float | None = None
        self.decode_seconds: float | None = None

    @property
    def partial_text(self) -> str:
        return self._guard.partial_text.encode("utf-8", "replace").decode("utf-8")

    def text(self, piece: str) -> None:
        self._guard.text(piece)
        self._moved()

    def thought(self, piece: str) -> None:
        self._guard.thought(piece)
        self._moved()

    def refused(self, piece: str) -> None:
        self._refusal = (self._refusal + piece)[:REFUSAL_CHARS]
        self._moved()

    def called_tool(self, name: str) -> None:
        self._tool = self._tool or name[: errors.BODY_EXCERPT_CHARS]
        self._moved()

    def report(self, phase: Phase) -> None:
        if self._hook is not None:
            self._hook(GenerationProgress(phase, self._guard.pieces, lambda: self.partial_text))

    def completion(self, *, backend: str, any_text: bool) -> Completion:
        if self.finish_reason is None:
            raise errors.TruncatedStream("the stream ended without a finish reason")
        if any_text:
            text, thinking = self.partial_text, ""
        else:
            text, thinking = self._answer(self.finish_reason)
        started = self._watch.started_at
        return Completion(
            text=text,
            thinking=thinking,
            model=self._request.model,
            backend=backend,
            finish_reason=self.finish_reason,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens or self._guard.pieces,
            load_seconds=self.load_seconds,
            prefill_seconds=self.prefill_seconds,
            decode_seconds=self.decode_seconds,
            cached_prompt_tokens=self.cached_prompt_tokens,
            first_token_seconds=None if self._first_at is None else self._first_at - started,
            duration_seconds=time.monotonic() - started,
        )

    def _answer(self, finish_reason: FinishReason) -> tuple[str, str]:
        try:
            return self._guard.finish(finish_reason)
        except (errors.BlankAnswer, errors.ThinkingOnly):
            if self._refusal:
                raise errors.RefusedAnswer(f"the model refused: {self._refusal}") from None
            if self._tool is not None:
                raise errors.UnwantedToolCall(
                    f"the model called the tool {self._tool!r}, and the request offers none"
                ) from None
            if not self._request.verbatim:
                raise
            return "", self.partial_text

    def _moved(self) -> None:
        self._watch.progress_at = now = time.monotonic()
        if self._first_at is None:
            self._first(now)
        elif now >= self._next_report:
            self._next_report = now + REPORT_SECONDS
            self.report(Phase.DECODING)

    def _first(self, now: float) -> None:
        self._first_at = now
        self._watch.expect(_stall_timeout, self._deadlines.between_tokens_seconds)
        if self._hook is not None:
            self._next_report = now + REPORT_SECONDS
            self.report(Phase.DECODING)


def _first_token_timeout(seconds: float) -> errors.LLMError:
    return errors.FirstTokenTimeout(f"no token within {seconds:.3g} s")


def _stall_timeout(seconds: float) -> errors.LLMError:
    return errors.StallTimeout(f"no further token within {seconds:g} s")
