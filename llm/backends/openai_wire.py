"""The OpenAI-compatible wire format: bodies to send, streams and lists to read. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llm import errors
from llm.backends.mapping import from_error_line
from llm.backends.ollama_wire import whole
from llm.backends.streaming import FinishReason, Sink
from llm.framing import JsonObject, sse_objects
from llm.types import GenerateRequest, ModelInfo, ResidentModel

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_calls": "stop",
    "function_call": "stop",
    "length": "length",
    "max_tokens": "length",
}
# vLLM, SGLang and mlx-lm name the penalty so, llama.cpp and LM Studio like Ollama. Each ignores
# the other name.
SAMPLING_FIELDS = {"repeat_penalty": ("repetition_penalty", "repeat_penalty")}
_ALWAYS_RESIDENT = frozenset({"vllm", "sglang", "llamacpp"})
_METRIC = re.compile(r"^(vllm:num_requests_(?:running|waiting))(?:\{[^}]*\})?\s+([0-9.e+]+)", re.M)


class OpenAIChat:
    """`POST /v1/chat/completions`; ``limit_field`` carries the token limit."""

    path = "/v1/chat/completions"
    content_types: tuple[str, ...] = ("text/event-stream",)

    def __init__(self, limit_field: str = "max_tokens") -> None:
        self._limit_field = limit_field

    def body(self, request: GenerateRequest) -> JsonObject:
        body: JsonObject = {
            "model": request.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            self._limit_field: request.max_tokens,
        }
        for name, value in request.sampling.values().items():
            for field in SAMPLING_FIELDS.get(name, (name,)):
                body[field] = list(value) if isinstance(value, tuple) else value
        if request.response_schema is not None:
            body["response_format"] = _response_format(request.response_schema)
        if request.think is not None:
            body["chat_template_kwargs"] = {"enable_thinking": request.think}
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
        choices = chunk.get("choices")
        if choices:
            _read_choices(choices, sink)
        usage = chunk.get("usage")
        if type(usage) is dict:
            sink.prompt_tokens = whole(usage.get("prompt_tokens"))
            sink.completion_tokens = whole(usage.get("completion_tokens"))
        return False


def models_of(body: Mapping[str, Any]) -> tuple[ModelInfo, ...]:
    """The models of `/v1/models`; raises StreamBroken where it has another shape."""
    data = body.get("data", ())
    if data is None:
        return ()
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise errors.StreamBroken("the list of models has an unknown shape")
    return tuple(_model(entry) for entry in data)


def residents_of(body: Mapping[str, Any]) -> tuple[ResidentModel, ...]:
    """Those of `/v1/models` whose server lists only what it holds in memory."""
    return tuple(
        ResidentModel(info.name, info.size_bytes, info.context_tokens)
        for info, entry in zip(models_of(body), body.get("data") or (), strict=True)
        if str(entry.get("owned_by")) in _ALWAYS_RESIDENT
    )


def load_of(metrics: bytes) -> tuple[int | None, int | None]:
    """(running, waiting) requests of vLLM's `/metrics`, each None where it is not told."""
    totals: dict[str, float] = {}
    for name, value in _METRIC.findall(metrics.decode("utf-8", "replace")):
        try:
            totals[name] = totals.get(name, 0.0) + float(value)
        except ValueError:
            continue
    return (
        whole(totals.get("vllm:num_requests_running")),
        whole(totals.get("vllm:num_requests_waiting")),
    )


def _response_format(schema: Mapping[str, Any]) -> JsonObject:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema)}}


def _read_choices(choices: object, sink: Sink) -> None:
    if type(choices) is not list or type(choices[0]) is not dict:
        raise errors.StreamBroken("a chunk's choices have an unknown shape")
    choice: JsonObject = choices[0]
    delta = choice.get("delta")
    if delta:
        _read_delta(delta, sink)
    reason = choice.get("finish_reason")
    if reason is not None and reason != "":  # LocalAI sends "" with every piece
        sink.finish_reason = _finish_reason(reason)


def _read_delta(delta: object, sink: Sink) -> None:
    if type(delta) is not dict:
        raise errors.StreamBroken("a chunk's delta is not an object")
    thinking = delta.get("reasoning_content") or delta.get("reasoning")
    if thinking:
        if type(thinking) is not str:
            raise errors.StreamBroken("a chunk's reasoning is not text")
        sink.thought(thinking)
    text = delta.get("content")
    if text:
        if type(text) is not str:
            raise errors.StreamBroken("a chunk's content is not text")
        sink.text(text)


def _finish_reason(reason: object) -> FinishReason:
    known = _FINISH.get(reason) if isinstance(reason, str) else None
    if known is not None:
        return known
    if reason == "content_filter":
        raise errors.BadRequest("the server's content filter refused the answer")
    raise errors.ServerFailed(f"the server ended with {reason!r} in place of an answer")


def _model(entry: Mapping[str, Any]) -> ModelInfo:
    name = entry.get("id")
    if not isinstance(name, str) or not name:
        raise errors.StreamBroken("a model in the list has no id")
    meta = entry.get("meta")
    figures: Mapping[str, Any] = meta if isinstance(meta, Mapping) else {}
    context = whole(entry.get("max_model_len")) or whole(figures.get("n_ctx_train"))
    return ModelInfo(
        name=name,
        context_tokens=context,
        parameters=whole(figures.get("n_params")),
        size_bytes=whole(figures.get("size")),
    )
