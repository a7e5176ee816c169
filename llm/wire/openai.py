"""OpenAI's chat-completion objects, built from plain values.

A stream is server-sent events: `event(chunk)` for each, then `DONE`. The usage chunk has empty
`choices` and is sent only where the request has `stream_options.include_usage`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from llm.wire.values import GenerationUsage, JsonObject, ModelCard, dump

EVENT_STREAM = "text/event-stream; charset=utf-8"
DONE = b"data: [DONE]\n\n"

FinishReason = Literal["stop", "length"]
ReasoningField = Literal["reasoning", "reasoning_content"]


def event(body: JsonObject) -> bytes:
    """One server-sent event, blank line included."""
    return b"data: " + dump(body) + b"\n\n"


def error(message: str, *, kind: str, code: int | str | None = None) -> JsonObject:
    """The body of every failure; `kind` is such as "invalid_request_error"."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def completion(
    *,
    completion_id: str,
    model: str,
    at: datetime,
    text: str,
    finish_reason: FinishReason,
    usage: GenerationUsage,
    reasoning: str = "",
    reasoning_field: ReasoningField = "reasoning_content",
) -> JsonObject:
    """A whole answer of `POST /v1/chat/completions`."""
    message: JsonObject = {"role": "assistant", "content": text}
    if reasoning:
        message[reasoning_field] = reasoning
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
    return {
        "id": completion_id,
        "object": "chat.completion",
        "created": int(at.timestamp()),
        "model": model,
        "choices": [choice],
        "usage": usage_figures(usage),
    }


def chunk(
    *,
    completion_id: str,
    model: str,
    at: datetime,
    text: str | None = None,
    reasoning: str = "",
    role: str | None = None,
    finish_reason: FinishReason | None = None,
    reasoning_field: ReasoningField = "reasoning_content",
) -> JsonObject:
    """A piece of a stream: the first carries `role`, the last a `finish_reason`."""
    delta: JsonObject = {}
    if role is not None:
        delta["role"] = role
    if text is not None:
        delta["content"] = text
    if reasoning:
        delta[reasoning_field] = reasoning
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _chunk(completion_id, model=model, at=at, choices=[choice])


def usage_chunk(
    *, completion_id: str, model: str, at: datetime, usage: GenerationUsage
) -> JsonObject:
    """The chunk after the last piece, with token counts and no choices."""
    body = _chunk(completion_id, model=model, at=at, choices=[])
    body["usage"] = usage_figures(usage)
    return body


def usage_figures(usage: GenerationUsage) -> JsonObject:
    """The `usage` object."""
    figures: JsonObject = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    if usage.cached_tokens is not None:
        figures["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    return figures


def models(cards: Iterable[ModelCard], *, owned_by: str) -> JsonObject:
    """The answer of `GET /v1/models`; `max_model_len` is vLLM's addition."""
    return {"object": "list", "data": [model(card, owned_by=owned_by) for card in cards]}


def model(card: ModelCard, *, owned_by: str) -> JsonObject:
    """One entry of `/v1/models`, also the answer of `GET /v1/models/{id}`."""
    return {
        "id": card.name,
        "object": "model",
        "created": int(card.modified_at.timestamp()),
        "owned_by": owned_by,
        "max_model_len": card.context_tokens,
    }


def _chunk(
    completion_id: str, *, model: str, at: datetime, choices: list[JsonObject]
) -> JsonObject:
    return {
        "id": completion_id,
        "object": "chat.completion.chunk",
        "created": int(at.timestamp()),
        "model": model,
        "choices": choices,
    }
