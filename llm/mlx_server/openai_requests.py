"""OpenAI's chat-completion body, read into a TextRequest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm.mlx_server.errors import InvalidRequest
from llm.mlx_server.fields import Fields
from llm.mlx_server.requests import (
    MAX_STOP_STRINGS,
    MAX_TOKENS,
    TextRequest,
    read_keep_alive,
    read_messages,
    read_schema,
)
from llm.mlx_server.sampling import DecoderSampling
from llm.mlx_server.structured import ANY_JSON_OBJECT

MAX_BIASES = 1024


@dataclass(frozen=True, slots=True)
class ChatCompletionRequest:
    request: TextRequest
    include_usage: bool


def read_chat_completion(body: dict[str, Any]) -> ChatCompletionRequest:
    """The body of ``POST /v1/chat/completions``. Raises InvalidRequest naming the field."""
    fields = Fields(body)
    fields.refuse("tools", "functions", "logprobs", "top_logprobs", "audio", "prediction")
    fields.integer("n", 1, low=1, high=1)
    messages = read_messages(fields)
    if not messages:
        raise InvalidRequest("must hold at least one message", field="messages")
    request = TextRequest(
        model=fields.text("model"),
        messages=messages,
        stream=fields.flag("stream", default=False),
        max_tokens=_max_tokens(fields),
        stop=fields.texts("stop", most=MAX_STOP_STRINGS),
        sampling=_sampling(fields),
        schema=_response_format(fields),
        schema_field="response_format",
        think=_think(fields),
        keep_alive=read_keep_alive(fields),
    )
    options = fields.inner("stream_options")
    return ChatCompletionRequest(request, options.flag("include_usage", default=False))


def _max_tokens(fields: Fields) -> int | None:
    for key in ("max_completion_tokens", "max_tokens"):
        if fields.has(key):
            return fields.integer(key, 1, low=1, high=MAX_TOKENS)
    return None


def _sampling(fields: Fields) -> DecoderSampling:
    return DecoderSampling(
        temperature=fields.number("temperature", 1.0, low=0, high=100),
        top_p=fields.number("top_p", 1.0, low=0, high=1),
        top_k=max(0, fields.integer("top_k", 0, low=-1, high=MAX_TOKENS)),
        min_p=fields.number("min_p", 0.0, low=0, high=1),
        seed=fields.integer("seed", 0, low=-(2**53)) if fields.has("seed") else None,
        repeat_penalty=fields.number("repetition_penalty", 1.0, low=0.01, high=100),
        presence_penalty=fields.number("presence_penalty", 0.0, low=-2, high=2),
        frequency_penalty=fields.number("frequency_penalty", 0.0, low=-2, high=2),
        logit_bias=_logit_bias(fields),
    )


def _logit_bias(fields: Fields) -> tuple[tuple[int, float], ...]:
    value = fields.raw("logit_bias")
    if value is None:
        return ()
    if not isinstance(value, dict) or len(value) > MAX_BIASES:
        raise InvalidRequest(f"must be an object of at most {MAX_BIASES}", field="logit_bias")
    biases = fields.inner("logit_bias")
    return tuple((_token_id(key), biases.number(key, 0.0, low=-100, high=100)) for key in value)


def _token_id(key: str) -> int:
    if not (key.isascii() and key.isdigit() and len(key) < 10):
        raise InvalidRequest(f"{key[:20]!r} is not a token id", field="logit_bias")
    return int(key)


def _response_format(fields: Fields) -> dict[str, Any] | None:
    if not fields.has("response_format"):
        return None
    wanted = fields.inner("response_format")
    match wanted.text("type"):
        case "text":
            return None
        case "json_object":
            return ANY_JSON_OBJECT
        case "json_schema":
            described = wanted.inner("json_schema") if wanted.has("json_schema") else wanted
            return read_schema(described.raw("schema"), field=described.name("schema"))
        case _:
            known = "text, json_object or json_schema"
            raise InvalidRequest(f"must be {known}", field=wanted.name("type"))


def _think(fields: Fields) -> bool | None:
    """Whether to think, from ``chat_template_kwargs``, under the name that model templates use."""
    kwargs = fields.inner("chat_template_kwargs")
    if not kwargs.has("enable_thinking"):
        return None
    return kwargs.flag("enable_thinking", default=True)
