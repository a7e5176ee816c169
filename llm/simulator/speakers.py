"""Speakers format a generation for one wire format; they send nothing themselves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, Protocol

from llm.wire import ollama, openai
from llm.wire.values import GenerationUsage, JsonObject, dump

Reason = Literal["stop", "length"]

_ERROR_KINDS = {
    401: "invalid_request_error",
    404: "NotFoundError",
    429: "rate_limit_error",
    503: "server_busy",
}


class Speaker(Protocol):
    """One answer in one wire format."""

    stream_type: str

    def opening(self) -> bytes:
        """The beginning of a stream, before the first token."""

    def piece(self, text: str) -> bytes:
        """A token of the answer."""

    def thought(self, text: str) -> bytes:
        """A token of thinking."""

    def closing(self, reason: Reason, usage: GenerationUsage) -> bytes:
        """The terminal marker and the figures."""

    def whole(self, text: str, *, thinking: str, reason: Reason, usage: GenerationUsage) -> bytes:
        """The body of an answer that is not streamed."""

    def error(self, message: str, *, status: int) -> bytes:
        """The body of a failure."""

    def error_line(self, message: str) -> bytes:
        """A failure in the middle of a stream."""


class OllamaSpeaker:
    """`/api/generate` and `/api/chat`."""

    stream_type = ollama.NDJSON

    def __init__(self, model: str, *, is_chat: bool) -> None:
        self._model = model
        self._chunk: Callable[..., JsonObject] = (
            ollama.chat_chunk if is_chat else ollama.generate_chunk
        )
        self._final: Callable[..., JsonObject] = (
            ollama.chat_final if is_chat else ollama.generate_final
        )

    def opening(self) -> bytes:
        return b""

    def piece(self, text: str) -> bytes:
        return ollama.line(self._chunk(model=self._model, at=_now(), text=text))

    def thought(self, text: str) -> bytes:
        return ollama.line(self._chunk(model=self._model, at=_now(), text="", thinking=text))

    def closing(self, reason: Reason, usage: GenerationUsage) -> bytes:
        final = self._final(model=self._model, at=_now(), reason=reason, usage=usage)
        return ollama.line(final)

    def whole(self, text: str, *, thinking: str, reason: Reason, usage: GenerationUsage) -> bytes:
        return dump(
            self._final(
                model=self._model,
                at=_now(),
                reason=reason,
                usage=usage,
                text=text,
                thinking=thinking,
            )
        )

    def marker(self, reason: ollama.DoneReason) -> bytes:
        """The answer to a call that only loads or unloads."""
        return dump(self._final(model=self._model, at=_now(), reason=reason))

    def error(self, message: str, *, status: int) -> bytes:
        return dump(ollama.error(message))

    def error_line(self, message: str) -> bytes:
        return ollama.line(ollama.error(message))


class OpenAISpeaker:
    """`/v1/chat/completions`."""

    stream_type = openai.EVENT_STREAM

    def __init__(
        self,
        model: str,
        *,
        completion_id: str,
        with_usage: bool,
        reasoning_field: openai.ReasoningField,
    ) -> None:
        self._model = model
        self._id = completion_id
        self._with_usage = with_usage
        self._reasoning_field = reasoning_field
        self._at = _now()

    def opening(self) -> bytes:
        return self._event(role="assistant", text="")

    def piece(self, text: str) -> bytes:
        return self._event(text=text)

    def thought(self, text: str) -> bytes:
        return self._event(reasoning=text)

    def closing(self, reason: Reason, usage: GenerationUsage) -> bytes:
        closing = self._event(finish_reason=reason)
        if self._with_usage:
            figures = openai.usage_chunk(
                completion_id=self._id, model=self._model, at=self._at, usage=usage
            )
            closing += openai.event(figures)
        return closing + openai.DONE

    def whole(self, text: str, *, thinking: str, reason: Reason, usage: GenerationUsage) -> bytes:
        return dump(
            openai.completion(
                completion_id=self._id,
                model=self._model,
                at=self._at,
                text=text,
                finish_reason=reason,
                usage=usage,
                reasoning=thinking,
                reasoning_field=self._reasoning_field,
            )
        )

    def error(self, message: str, *, status: int) -> bytes:
        kind = _ERROR_KINDS.get(status, "BadRequestError" if status < 500 else "server_error")
        return dump(openai.error(message, kind=kind, code=status))

    def error_line(self, message: str) -> bytes:
        return openai.event(openai.error(message, kind="server_error", code=500))

    def _event(
        self,
        *,
        text: str | None = None,
        reasoning: str = "",
        role: str | None = None,
        finish_reason: Reason | None = None,
    ) -> bytes:
        return openai.event(
            openai.chunk(
                completion_id=self._id,
                model=self._model,
                at=self._at,
                text=text,
                reasoning=reasoning,
                role=role,
                finish_reason=finish_reason,
                reasoning_field=self._reasoning_field,
            )
        )


def _now() -> datetime:
    return datetime.now(UTC)
