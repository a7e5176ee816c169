"""Ollama's objects, built from plain values.

Shapes follow Ollama's own source (`api/types.go`): durations are integer nanoseconds, and a zero
field is left out. A stream is newline-delimited JSON (`line`), content type `NDJSON`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from llm.wire.values import GenerationUsage, JsonObject, ModelCard, dump, timestamp

NDJSON = "application/x-ndjson"
ROOT_TEXT = "Ollama is running"

DoneReason = Literal["stop", "length", "load", "unload"]


def line(body: JsonObject) -> bytes:
    """One line of a stream, newline included."""
    return dump(body) + b"\n"


def error(message: str) -> JsonObject:
    """The body of every failure, also the last line of a stream that broke."""
    return {"error": message}


def version(number: str) -> JsonObject:
    """The answer of `GET /api/version`."""
    return {"version": number}


def generate_chunk(*, model: str, at: datetime, text: str, thinking: str = "") -> JsonObject:
    """A piece of a `/api/generate` stream."""
    chunk: JsonObject = {"model": model, "created_at": timestamp(at), "response": text}
    if thinking:
        chunk["thinking"] = thinking
    chunk["done"] = False
    return chunk


def generate_final(
    *,
    model: str,
    at: datetime,
    reason: DoneReason,
    usage: GenerationUsage | None = None,
    text: str = "",
    thinking: str = "",
) -> JsonObject:
    """The last line of a `/api/generate` stream; with the whole `text`, the unstreamed answer.
    Without `usage` (load and unload) it has no metrics."""
    final = generate_chunk(model=model, at=at, text=text, thinking=thinking)
    return _finished(final, reason=reason, usage=usage)


def chat_chunk(*, model: str, at: datetime, text: str, thinking: str = "") -> JsonObject:
    """A piece of a `/api/chat` stream."""
    message: JsonObject = {"role": "assistant", "content": text}
    if thinking:
        message["thinking"] = thinking
    return {"model": model, "created_at": timestamp(at), "message": message, "done": False}


def chat_final(
    *,
    model: str,
    at: datetime,
    reason: DoneReason,
    usage: GenerationUsage | None = None,
    text: str = "",
    thinking: str = "",
) -> JsonObject:
    """The last line of a `/api/chat` stream; with the whole `text`, its unstreamed answer."""
    final = chat_chunk(model=model, at=at, text=text, thinking=thinking)
    return _finished(final, reason=reason, usage=usage)


def metrics(usage: GenerationUsage) -> JsonObject:
    """The figures of a last line, in nanoseconds; zeros are left out. Only our MLX API server sends
    `prompt_cached_count`."""
    figures = {
        "total_duration": _nanoseconds(usage.total_seconds),
        "load_duration": _nanoseconds(usage.load_seconds),
        "prompt_eval_count": usage.prompt_tokens,
        "prompt_cached_count": usage.cached_tokens,
        "prompt_eval_duration": _nanoseconds(usage.prompt_seconds),
        "eval_count": usage.completion_tokens,
        "eval_duration": _nanoseconds(usage.completion_seconds),
    }
    return {name: figure for name, figure in figures.items() if figure}


def tags(cards: Iterable[ModelCard]) -> JsonObject:
    """The answer of `GET /api/tags`: every model that can be served."""
    return {"models": [_tag(card) for card in cards]}


def ps(entries: Iterable[JsonObject]) -> JsonObject:
    """The answer of `GET /api/ps`: resident models, each made by `ps_entry`."""
    return {"models": list(entries)}


def ps_entry(
    card: ModelCard,
    *,
    expires_at: datetime,
    context_tokens: int,
    size_bytes: int | None = None,
    size_vram_bytes: int | None = None,
    active_requests: int | None = None,
) -> JsonObject:
    """One resident model. `size_bytes` and `size_vram_bytes` default to the card's size. Only our
    MLX API server sends `active_requests`."""
    size = card.size_bytes if size_bytes is None else size_bytes
    entry: JsonObject = {
        "name": card.name,
        "model": card.name,
        "size": size,
        "digest": card.digest,
        "details": details(card),
        "expires_at": timestamp(expires_at),
        "size_vram": size if size_vram_bytes is None else size_vram_bytes,
        "context_length": context_tokens,
    }
    if active_requests is not None:
        entry["active_requests"] = active_requests
    return entry


def show(card: ModelCard, *, template: str = "{{ .Prompt }}", parameters: str = "") -> JsonObject:
    """The answer of `POST /api/show`; the context length is in `model_info`."""
    family = card.family or "unknown"
    body: JsonObject = {
        "modelfile": f"FROM {card.name}\nTEMPLATE {json.dumps(template)}\n",
        "template": template,
        "details": details(card),
        "model_info": {
            "general.architecture": family,
            "general.parameter_count": card.parameters,
            f"{family}.context_length": card.context_tokens,
        },
        "capabilities": list(card.capabilities),
        "modified_at": timestamp(card.modified_at),
    }
    if parameters:
        body["parameters"] = parameters
    return body


def details(card: ModelCard) -> JsonObject:
    """The `details` object of tags, ps and show."""
    return {
        "parent_model": "",
        "format": card.format,
        "family": card.family,
        "families": [card.family] if card.family else None,
        "parameter_size": card.parameter_size,
        "quantization_level": card.quantization,
    }


def _tag(card: ModelCard) -> JsonObject:
    return {
        "name": card.name,
        "model": card.name,
        "modified_at": timestamp(card.modified_at),
        "size": card.size_bytes,
        "digest": card.digest,
        "details": details(card),
        "capabilities": list(card.capabilities),
    }


def _finished(
    chunk: JsonObject, *, reason: DoneReason, usage: GenerationUsage | None
) -> JsonObject:
    chunk["done"] = True
    chunk["done_reason"] = reason
    if usage is not None:
        chunk.update(metrics(usage))
    return chunk


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
