"""Reads completion requests of both wire formats into one value."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from llm.simulator.answers import estimate_tokens
from llm.simulator.prefix_cache import Segment, segments_of
from llm.wire.durations import go_duration
from llm.wire.values import JsonObject

IMAGE_TOKENS = 576
_RELOADING_OPTIONS = ("num_batch", "num_gpu", "num_thread", "use_mmap")

Purpose = Literal["generate", "load", "unload"]


class CallError(Exception):
    """A request that is answered with an error `status`."""

    def __init__(self, status: int, message: str, *, retry_after_seconds: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCall:
    """A completion request.

    `prompt` is the last user message; `prompt_tokens` counts all messages, and `segments` are all
    of them in blocks, as a prefix cache compares them. `max_tokens` None means no limit; `thinks`
    None leaves the choice to the model; `schema` is a JSON schema, or True for any JSON object.
    """

    model: str
    prompt: str
    prompt_tokens: int
    segments: tuple[Segment, ...] = ()
    purpose: Purpose = "generate"
    stream: bool = True
    max_tokens: int | None = None
    stops: tuple[str, ...] = ()
    schema: Any = None
    thinks: bool | None = None
    images: int = 0
    context_tokens: int | None = None
    load_options: tuple[tuple[str, str], ...] = ()
    keep_alive_seconds: float | None = None
    with_usage: bool = False


def ollama_generate(data: bytes) -> SimulatedCall:
    """The call in the body of `/api/generate`. Raises CallError."""
    body = _object(data)
    prompt = _typed(body, "prompt", str) or ""
    system = _typed(body, "system", str) or ""
    images = _typed(body, "images", list) or []
    tokens = estimate_tokens(system) + estimate_tokens(prompt)
    call = _ollama(body, prompt=prompt, tokens=tokens, images=len(images), is_empty=not prompt)
    return replace(call, segments=segments_of(system + prompt))


def ollama_chat(data: bytes) -> SimulatedCall:
    """The call in the body of `/api/chat`. Raises CallError."""
    body = _object(data)
    messages = _messages(body)
    prompt, tokens, images = _read_messages(messages)
    images += sum(len(_typed(message, "images", list) or ()) for message in messages)
    call = _ollama(body, prompt=prompt, tokens=tokens, images=images, is_empty=not messages)
    return replace(call, segments=_segments(messages))


def openai_chat(data: bytes) -> SimulatedCall:
    """The call in the body of `/v1/chat/completions`. Raises CallError."""
    body = _object(data)
    messages = _messages(body)
    if not messages:
        raise CallError(400, "messages: at least one message is needed")
    prompt, tokens, images = _read_messages(messages)
    limit = _typed(body, "max_completion_tokens", int)
    limit = _typed(body, "max_tokens", int) if limit is None else limit
    if limit is not None and limit < 1:
        raise CallError(400, f"max_tokens must be at least 1, got {limit}.")
    options = _typed(body, "stream_options", dict) or {}
    return SimulatedCall(
        model=_model(body),
        prompt=prompt,
        prompt_tokens=tokens + images * IMAGE_TOKENS,
        segments=_segments(messages),
        stream=bool(_typed(body, "stream", bool)),
        max_tokens=limit,
        stops=_stops(body),
        schema=_response_format(body),
        images=images,
        with_usage=bool(options.get("include_usage")),
    )


def parse_keep_alive(value: Any) -> float | None:
    """Seconds as Ollama reads them: a number, or a Go duration; negative means forever. Raises
    CallError."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return math.inf if value < 0 else float(value)
    try:
        seconds = go_duration(str(value))
    except ValueError as error:
        raise CallError(400, str(error)) from error
    return math.inf if seconds < 0 else seconds


def _ollama(
    body: JsonObject, *, prompt: str, tokens: int, images: int, is_empty: bool
) -> SimulatedCall:
    options = _typed(body, "options", dict) or {}
    keep_alive = parse_keep_alive(body.get("keep_alive"))
    limit = _typed(options, "num_predict", int)
    thinks = body.get("think")
    purpose: Purpose = "generate"
    if is_empty:
        purpose = "unload" if keep_alive == 0 else "load"
    return SimulatedCall(
        model=_model(body),
        prompt=prompt,
        prompt_tokens=tokens + images * IMAGE_TOKENS,
        purpose=purpose,
        stream=_typed(body, "stream", bool) is not False,
        max_tokens=limit if limit is not None and limit > 0 else None,
        stops=_stops(options),
        schema=_ollama_format(body.get("format")),
        thinks=None if thinks is None else thinks not in (False, "none"),
        images=images,
        context_tokens=_typed(options, "num_ctx", int),
        load_options=tuple(
            (name, json.dumps(options[name])) for name in _RELOADING_OPTIONS if name in options
        ),
        keep_alive_seconds=keep_alive,
    )


def _object(data: bytes) -> JsonObject:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CallError(400, f"invalid JSON in the request body: {error}") from error
    if not isinstance(body, dict):
        raise CallError(400, "the request body must be a JSON object")
    return body


def _model(body: JsonObject) -> str:
    model = _typed(body, "model", str)
    if not model:
        raise CallError(400, "model is required")
    return str(model)


def _typed(body: JsonObject, name: str, kind: type) -> Any:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise CallError(400, f"{name}: cannot read {type(value).__name__} as {kind.__name__}")
    return value


def _messages(body: JsonObject) -> list[JsonObject]:
    messages = _typed(body, "messages", list) or []
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise CallError(400, f"messages[{number}]: must be an object with a role")
    return list(messages)


def _read_messages(messages: list[JsonObject]) -> tuple[str, int, int]:
    prompt, tokens, images = "", 0, 0
    for message in messages:
        text, count = _content(message.get("content"))
        tokens += estimate_tokens(text) + 4
        images += count
        if message["role"] == "user":
            prompt = text
    return prompt, tokens, images


def _segments(messages: list[JsonObject]) -> tuple[Segment, ...]:
    return segments_of("".join(_content(message.get("content"))[0] for message in messages))


def _content(content: Any) -> tuple[str, int]:
    if content is None or isinstance(content, str):
        return content or "", 0
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise CallError(400, "content: must be a text or a list of parts")
    texts = [part["text"] for part in content if isinstance(part.get("text"), str)]
    return "\n".join(texts), sum(part.get("type") == "image_url" for part in content)


def _stops(holder: JsonObject) -> tuple[str, ...]:
    stops = holder.get("stop")
    stops = [stops] if isinstance(stops, str) else stops or []
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise CallError(400, "stop: must be a text or a list of texts")
    return tuple(stop for stop in stops if stop)


def _ollama_format(value: Any) -> Any:
    if value in (None, ""):
        return None
    if value == "json":
        return True
    if not isinstance(value, dict):
        raise CallError(400, f'invalid format: {value!r}; expected "json" or a JSON schema')
    return value


def _response_format(body: JsonObject) -> Any:
    wanted = _typed(body, "response_format", dict)
    kind = wanted.get("type") if wanted else "text"
    if wanted is None or kind == "text":
        return None
    if kind == "json_object":
        return wanted.get("schema", True)
    if kind != "json_schema":
        raise CallError(400, f"response_format.type: unknown {kind!r}")
    holder = wanted.get("json_schema")
    schema = holder.get("schema") if isinstance(holder, dict) else wanted.get("schema")
    if not isinstance(schema, dict):
        raise CallError(400, "response_format.json_schema.schema: must be a JSON schema")
    return schema


def model_name(data: bytes) -> str:
    """The model name in the body of `/api/show`; `name` is its older field. Raises CallError."""
    body = _object(data)
    return _model(body if body.get("model") else {**body, "model": body.get("name")})
