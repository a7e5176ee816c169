"""The OpenAI-compatible wire format: bodies to send, streams and lists to read. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llm import errors
from llm.backends.concessions import NOTHING_LEFT_OUT, Concessions, SchemaStep
from llm.backends.finish import finish_reason
from llm.backends.mapping import from_error_line
from llm.backends.ollama_wire import named_once, tool_name, whole
from llm.backends.streaming import Sink
from llm.framing import JsonObject, sse_objects
from llm.types import GenerateRequest, ModelInfo, ResidentModel

NEWER_LIMIT_FIELD = "max_completion_tokens"

# vLLM, SGLang and mlx-lm use this name for the penalty; llama.cpp and LM Studio use Ollama's.
# Each ignores the name it does not know.
SAMPLING_FIELDS = {"repeat_penalty": ("repetition_penalty", "repeat_penalty")}
_TEXT_PARTS = frozenset({"text", "output_text"})
_LLAMA_SERVER = "llamacpp"
_ALWAYS_RESIDENT = frozenset({"vllm", "sglang", _LLAMA_SERVER})
_METRIC = re.compile(
    r"^(?:ray_vllm_|vllm:)num_requests_(running|waiting)(?:\{[^}]*\})?\s+([0-9.e+]+)", re.M
)
"""vLLM's own names, and those under which Ray exports them."""


class OpenAIChat:
    """`POST /v1/chat/completions`."""

    path = "/v1/chat/completions"
    required = frozenset({"model", "messages", "stream", NEWER_LIMIT_FIELD})
    events = frozenset({"choices", "usage"})

    def body(
        self, request: GenerateRequest, concessions: Concessions = NOTHING_LEFT_OUT
    ) -> JsonObject:
        """The body to send. Where ``max_tokens`` is refused, `max_completion_tokens` is sent:
        reasoning models accept only that."""
        body: JsonObject = {
            "model": request.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": request.max_tokens,
        }
        for name, value in request.sampling.values().items():
            for field in SAMPLING_FIELDS.get(name, (name,)):
                body[field] = list(value) if isinstance(value, tuple) else value
        if request.response_schema is not None and concessions.schema is not SchemaStep.PROMPT:
            body["response_format"] = _response_format(request.response_schema, concessions.schema)
        if request.think is not None:
            body["chat_template_kwargs"] = {"enable_thinking": request.think}
        for field in concessions.left_out & body.keys():
            del body[field]
        if "max_tokens" not in body:
            body[NEWER_LIMIT_FIELD] = request.max_tokens
        return body

    def objects(self, chunks: Iterable[bytes]) -> Iterator[JsonObject | None]:
        return sse_objects(chunks)

    def read(self, chunk: JsonObject | None, sink: Sink) -> bool:
        if chunk is None:
            return True
        if chunk.get("error"):
            raise from_error_line(chunk["error"])
        if chunk.get("object") == "error":
            raise from_error_line(chunk)
        is_whole = False
        choices = chunk.get("choices")
        if choices:
            is_whole = _read_choices(choices, sink)
        usage = chunk.get("usage")
        if type(usage) is dict:
            sink.prompt_tokens = whole(usage.get("prompt_tokens"))
            sink.completion_tokens = whole(usage.get("completion_tokens"))
            details = usage.get("prompt_tokens_details")
            if type(details) is dict:
                sink.cached_prompt_tokens = whole(details.get("cached_tokens"))
        timings = chunk.get("timings")
        if type(timings) is dict:
            _read_timings(timings, sink)
        return is_whole


def _read_timings(timings: JsonObject, sink: Sink) -> None:
    """Read the times that llama-server adds to its last chunk (milliseconds)."""
    prefill, decode = whole(timings.get("prompt_ms")), whole(timings.get("predicted_ms"))
    sink.prefill_seconds = None if prefill is None else prefill / 1e3
    sink.decode_seconds = None if decode is None else decode / 1e3
    cached = whole(timings.get("cache_n"))
    if cached is not None:
        sink.cached_prompt_tokens = cached


def models_of(body: Mapping[str, Any]) -> tuple[ModelInfo, ...]:
    """The models of `/v1/models`; raises StreamBroken where it has another shape."""
    return tuple(_model(entry) for entry in _listed(body))


def residents_of(body: Mapping[str, Any]) -> tuple[ResidentModel, ...]:
    """The resident models of a server whose `/v1/models` lists what it holds in memory.
    llama-server as a router also lists others, each with its status."""
    return tuple(
        ResidentModel(info.name, info.size_bytes, info.context_tokens)
        for info, entry in ((_model(entry), entry) for entry in _listed(body))
        if str(entry.get("owned_by")) in _ALWAYS_RESIDENT and _is_loaded(entry)
    )


def is_llama(body: Mapping[str, Any]) -> bool:
    """Whether `/v1/models` is that of llama-server."""
    return any(entry.get("owned_by") == _LLAMA_SERVER for entry in _listed(body))


def slots_of(props: Mapping[str, Any]) -> int | None:
    """How many requests llama-server works on at once, by its `/props`; a router does not say."""
    return whole(props.get("total_slots")) or None


def _listed(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return named_once(body.get("data"), lambda entry: entry.get("id"))


def _is_loaded(entry: Mapping[str, Any]) -> bool:
    status = entry.get("status")
    value = status.get("value") if isinstance(status, Mapping) else status
    return value in (None, "loaded")


def load_of(metrics: bytes) -> tuple[int | None, int | None]:
    """(running, waiting) requests from vLLM's `/metrics`; None for a figure that is missing."""
    totals: dict[str, float] = {}
    for name, value in _METRIC.findall(metrics.decode("utf-8", "replace")):
        try:
            totals[name] = totals.get(name, 0.0) + float(value)
        except ValueError:
            continue
    return whole(totals.get("running")), whole(totals.get("waiting"))


def _response_format(schema: Mapping[str, Any], step: SchemaStep) -> JsonObject:
    if step is SchemaStep.JSON_OBJECT:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema)}}


def _read_choices(choices: object, sink: Sink) -> bool:
    """Read the first choice and ignore any other. True when the chunk is a whole finished answer: a
    `message` in place of a `delta`."""
    if type(choices) is not list:
        raise errors.StreamBroken("a chunk's choices have an unknown shape")
    is_whole = False
    for choice in choices:
        if type(choice) is not dict:
            raise errors.StreamBroken("a chunk's choices have an unknown shape")
        if choice.get("index"):
            continue
        delta, message = choice.get("delta"), choice.get("message")
        if delta or message:
            _read_delta(delta or message, sink)
        reason = choice.get("finish_reason")
        if reason is not None and reason != "":  # LocalAI sends "" with every chunk.
            sink.finish_reason = finish_reason(reason)
            is_whole = is_whole or bool(message)
    return is_whole


def _read_delta(delta: object, sink: Sink) -> None:
    if type(delta) is not dict:
        raise errors.StreamBroken("a chunk's delta is not an object")
    thinking = delta.get("reasoning_content") or delta.get("reasoning")
    if thinking:
        if type(thinking) is not str:
            raise errors.StreamBroken("a chunk's reasoning is not text")
        sink.thought(thinking)
    if refusal := delta.get("refusal"):
        sink.refused(str(refusal))
    if calls := delta.get("tool_calls") or delta.get("function_call"):
        sink.called_tool(tool_name(calls))
    text = delta.get("content")
    if type(text) is list:
        _read_parts(text, sink)
    elif text:
        if type(text) is not str:
            raise errors.StreamBroken("a chunk's content is not text")
        sink.text(text)


def _read_parts(parts: list[object], sink: Sink) -> None:
    """Content as a list of parts, as Magistral sends it: ``{"type": "thinking", "thinking":
    [...]}`` or text."""
    for part in parts:
        if type(part) is not dict:
            raise errors.StreamBroken("a part of a chunk's content is not an object")
        if part.get("type") == "thinking":
            sink.thought(_text_of(part.get("thinking")))
        elif part.get("type") in _TEXT_PARTS:
            sink.text(_text_of(part.get("text")))


def _text_of(value: object) -> str:
    if type(value) is list:
        return "".join(_text_of(part.get("text")) for part in value if type(part) is dict)
    if value is not None and type(value) is not str:
        raise errors.StreamBroken("a part of a chunk's content is not text")
    return value or ""


def _model(entry: Mapping[str, Any]) -> ModelInfo:
    meta = entry.get("meta")
    figures: Mapping[str, Any] = meta if isinstance(meta, Mapping) else {}
    # llama-server: n_ctx is the context of one slot, n_ctx_train the maximum of the model.
    lengths = (entry.get("max_model_len"), figures.get("n_ctx"), figures.get("n_ctx_train"))
    context = next(filter(None, map(whole, lengths)), None)
    return ModelInfo(
        name=entry["id"],
        context_tokens=context,
        parameters=whole(figures.get("n_params")),
        size_bytes=whole(figures.get("size")),
    )
