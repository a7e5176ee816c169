"""Ollama's request bodies (`api/types.go`), read into a TextRequest."""

from __future__ import annotations

from typing import Any

from llm.mlx_server.errors import InvalidRequest
from llm.mlx_server.fields import Fields
from llm.mlx_server.requests import (
    MAX_STOP_STRINGS,
    MAX_TOKENS,
    ChatMessage,
    TextRequest,
    read_keep_alive,
    read_messages,
    read_schema,
)
from llm.mlx_server.sampling import PENALTY_WINDOW_TOKENS, DecoderSampling
from llm.mlx_server.structured import ANY_JSON_OBJECT

THINK_LEVELS = ("low", "medium", "high")
LOGPROBS = ("logprobs", "top_logprobs")


def read_generate(body: dict[str, Any]) -> TextRequest:
    """The body of ``POST /api/generate``. Raises InvalidRequest naming the field."""
    fields = Fields(body)
    fields.refuse("images", "suffix", "context", "template", *LOGPROBS)
    prompt = fields.text("prompt", "")
    raw = fields.flag("raw", default=False)
    messages: tuple[ChatMessage, ...] = ()
    if prompt and not raw:
        messages = _as_chat(fields.text("system", ""), prompt)
    return _request(fields, messages=messages, prompt=prompt if raw and prompt else None)


def read_chat(body: dict[str, Any]) -> TextRequest:
    """The body of ``POST /api/chat``. Raises InvalidRequest naming the field."""
    fields = Fields(body)
    fields.refuse("tools", *LOGPROBS)
    return _request(fields, messages=read_messages(fields), prompt=None)


def _as_chat(system: str, prompt: str) -> tuple[ChatMessage, ...]:
    user = ChatMessage("user", prompt)
    return (ChatMessage("system", system), user) if system else (user,)


def _request(
    fields: Fields, *, messages: tuple[ChatMessage, ...], prompt: str | None
) -> TextRequest:
    options = fields.inner("options")
    predict = options.integer("num_predict", -1, low=-2, high=MAX_TOKENS)
    return TextRequest(
        model=fields.text("model"),
        messages=messages,
        prompt=prompt,
        stream=fields.flag("stream", default=True),
        max_tokens=predict if predict > 0 else None,
        context_tokens=options.integer("num_ctx", 0, low=0, high=MAX_TOKENS) or None,
        stop=options.texts("stop", most=MAX_STOP_STRINGS),
        sampling=_sampling(options),
        schema=_format(fields),
        think=_think(fields),
        keep_alive=read_keep_alive(fields),
    )


def _sampling(options: Fields) -> DecoderSampling:
    window = options.integer("repeat_last_n", PENALTY_WINDOW_TOKENS, low=-1, high=MAX_TOKENS)
    return DecoderSampling(
        temperature=options.number("temperature", 0.8, low=0, high=100),
        top_p=options.number("top_p", 0.9, low=0, high=1),
        top_k=options.integer("top_k", 40, low=0, high=MAX_TOKENS),
        min_p=options.number("min_p", 0.0, low=0, high=1),
        seed=options.integer("seed", 0, low=-(2**53)) if options.has("seed") else None,
        repeat_penalty=options.number("repeat_penalty", 1.0, low=0.01, high=100) if window else 1.0,
        presence_penalty=options.number("presence_penalty", 0.0, low=-2, high=2),
        frequency_penalty=options.number("frequency_penalty", 0.0, low=-2, high=2),
        penalty_window_tokens=window if window > 0 else MAX_TOKENS,
    )


def _format(fields: Fields) -> dict[str, Any] | None:
    value = fields.raw("format")
    if value is None or value == "":
        return None
    if value == "json":
        return ANY_JSON_OBJECT
    if isinstance(value, str):
        raise InvalidRequest('must be "json" or a JSON schema object', field="format")
    return read_schema(value, field="format")


def _think(fields: Fields) -> bool | None:
    value = fields.raw("think")
    if value is None or isinstance(value, bool):
        return value
    if value in THINK_LEVELS:
        return True
    raise InvalidRequest(f"must be true, false or one of {', '.join(THINK_LEVELS)}", field="think")
