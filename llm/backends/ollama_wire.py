"""Ollama's wire format: bodies to send, streams and lists to read. Pure.

Source: Ollama's `api/types.go` and `docs/api.md`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from llm import errors
from llm.backends.concessions import NOTHING_LEFT_OUT, Concessions, SchemaStep
from llm.backends.finish import finish_reason
from llm.backends.mapping import from_error_line
from llm.backends.streaming import Sink
from llm.framing import JsonObject, ndjson_objects
from llm.types import GenerateRequest, ModelInfo, ResidentModel, Sampling

LONGEST_NAME = 500
"""Characters. A longer name is none, and names go into keys, logs and pages."""

_PARAMETERS = re.compile(r"\s*([0-9.]+)\s*([KMBT]?)\s*", re.IGNORECASE)
_SCALE = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_DECIMAL = re.compile(r"\d{1,6}(?:\.\d{1,12})?")
_DRAWING = frozenset({"temperature", "top_p", "top_k", "min_p", "repeat_penalty"})
PARAMETERS_CHARS = 20_000


class OllamaChat:
    """`POST /api/chat`."""

    path = "/api/chat"
    required = frozenset({"model", "messages", "stream", "options"})
    events = frozenset({"message", "done"})

    def body(
        self, request: GenerateRequest, concessions: Concessions = NOTHING_LEFT_OUT
    ) -> JsonObject:
        body: JsonObject = {
            "model": request.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "stream": True,
            "options": _options(request),
        }
        if request.response_schema is not None and concessions.schema is not SchemaStep.PROMPT:
            only_json = concessions.schema is SchemaStep.JSON_OBJECT
            body["format"] = "json" if only_json else dict(request.response_schema)
        if request.think is not None:
            body["think"] = request.think
        if request.keep_alive is not None:
            body["keep_alive"] = keep_alive(request.keep_alive)
        for field in concessions.left_out & body.keys():
            del body[field]
        return body

    def objects(self, chunks: Iterable[bytes]) -> Iterator[JsonObject | None]:
        return ndjson_objects(chunks)

    def read(self, chunk: JsonObject | None, sink: Sink) -> bool:
        assert chunk is not None  # NDJSON has no end marker.
        if "error" in chunk:
            raise from_error_line(chunk["error"])
        message = chunk.get("message")
        if message is not None:
            _read_message(message, sink)
        if chunk.get("done") is not True:
            return False
        _read_end(chunk, sink)
        return True


def preload_body(model: str, num_ctx: int | None) -> JsonObject:
    """An empty prompt loads the model with these options."""
    body: JsonObject = {"model": model, "prompt": "", "stream": False}
    if num_ctx is not None:
        body["options"] = {"num_ctx": num_ctx}
    return body


def unload_body(model: str) -> JsonObject:
    return {"model": model, "prompt": "", "stream": False, "keep_alive": 0}


def keep_alive(value: str | int) -> str | int | float:
    """Seconds as a number, a Go duration as a string: the server does not parse "-1" or "300"."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        number = float(value)
        return int(number) if number.is_integer() else number
    return value


def models_of(tags: Mapping[str, Any]) -> tuple[ModelInfo, ...]:
    """The models of `/api/tags`; raises StreamBroken where it has another shape."""
    return tuple(_model(entry) for entry in named_once(tags.get("models"), _name))


def residents_of(ps: Mapping[str, Any]) -> tuple[ResidentModel, ...]:
    """The resident models of `/api/ps`."""
    return tuple(
        ResidentModel(
            name=_name(entry),
            size_bytes=whole(entry.get("size_vram")) or whole(entry.get("size")),
            context_tokens=whole(entry.get("context_length")),
            expires_at=_moment(entry.get("expires_at")),
            active_requests=whole(entry.get("active_requests")),
        )
        for entry in named_once(ps.get("models"), _name)
    )


def described(listed: ModelInfo, show: Mapping[str, Any]) -> ModelInfo:
    """``listed`` with what `/api/show` adds: context, parameters, capabilities."""
    raw = show.get("model_info")
    info: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
    lengths = [whole(info[key]) for key in info if str(key).endswith(".context_length")]
    capabilities = _texts(show.get("capabilities"))
    return ModelInfo(
        name=listed.name,
        size_bytes=listed.size_bytes,
        parameters=whole(info.get("general.parameter_count")) or listed.parameters,
        quantization=listed.quantization,
        context_tokens=next(filter(None, lengths), None) or listed.context_tokens,
        capabilities=capabilities or listed.capabilities,
        family=listed.family,
        sampling=_authors_sampling(show.get("parameters")),
    )


def parameter_count(text: object) -> int | None:
    """The number in "7.6B" or "494M"; None where there is none."""
    match = _PARAMETERS.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    try:
        return int(float(match.group(1)) * _SCALE[match.group(2).upper()]) or None
    except ValueError:
        return None


def whole(value: object) -> int | None:
    """A non-negative whole number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 1e18 else None


def _authors_sampling(parameters: object) -> Sampling:
    """The sampling parameters of a Modelfile, given as lines of name and value. Stop strings are
    skipped: the server applies them itself."""
    found: dict[str, Any] = {}
    for line in parameters[:PARAMETERS_CHARS].splitlines() if isinstance(parameters, str) else ():
        name, _, value = line.strip().partition(" ")
        if name in _DRAWING and _DECIMAL.fullmatch(value.strip()):
            found[name] = int(float(value)) if name == "top_k" else float(value)
    return Sampling(**found)


def _options(request: GenerateRequest) -> JsonObject:
    options: JsonObject = {"num_predict": request.max_tokens}
    if request.num_ctx is not None:
        options["num_ctx"] = request.num_ctx
    for name, value in request.sampling.values().items():
        options[name] = list(value) if isinstance(value, tuple) else value
    return options


def _read_message(message: object, sink: Sink) -> None:
    if type(message) is not dict:
        raise errors.StreamBroken("a chunk's message is not an object")
    text = message.get("content")
    if text:
        if type(text) is not str:
            raise errors.StreamBroken("a chunk's content is not text")
        sink.text(text)
    if calls := message.get("tool_calls"):
        sink.called_tool(tool_name(calls))
    thinking = message.get("thinking")
    if thinking:
        if type(thinking) is not str:
            raise errors.StreamBroken("a chunk's thinking is not text")
        sink.thought(thinking)


def tool_name(calls: object) -> str:
    """The tool that a message calls first: ``[{"function": {"name"}}]`` or ``{"name"}``."""
    first = calls[0] if type(calls) is list else calls
    call = first.get("function", first) if type(first) is dict else None
    return str(call.get("name") or "?") if type(call) is dict else "?"


def _read_end(chunk: JsonObject, sink: Sink) -> None:
    sink.finish_reason = finish_reason(chunk.get("done_reason") or "stop")
    sink.prompt_tokens = whole(chunk.get("prompt_eval_count"))
    sink.completion_tokens = whole(chunk.get("eval_count"))
    sink.cached_prompt_tokens = whole(chunk.get("prompt_cached_count"))
    sink.load_seconds = _seconds(chunk.get("load_duration"))
    sink.prefill_seconds = _seconds(chunk.get("prompt_eval_duration"))
    sink.decode_seconds = _seconds(chunk.get("eval_duration"))


def _seconds(nanoseconds: object) -> float | None:
    count = whole(nanoseconds)
    return None if count is None else count / 1e9


def _model(entry: Mapping[str, Any]) -> ModelInfo:
    raw = entry.get("details")
    details: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
    return ModelInfo(
        name=_name(entry),
        size_bytes=whole(entry.get("size")),
        parameters=parameter_count(details.get("parameter_size")),
        quantization=_text(details.get("quantization_level")),
        context_tokens=whole(entry.get("context_length")),
        capabilities=_texts(entry.get("capabilities")),
        family=_text(details.get("family")),
    )


def named_once(
    entries: object, name_of: Callable[[Mapping[str, Any]], Any]
) -> list[Mapping[str, Any]]:
    """The entries of a list that name a model, each model once: one entry without a name must not
    hide the others. Go writes an empty list as `null`. Raises StreamBroken where it is no list, or
    none of them has a name."""
    listed = [] if entries is None else entries
    if not isinstance(listed, list):
        raise errors.StreamBroken("the list of models has an unknown shape")
    named: dict[str, Mapping[str, Any]] = {}
    for entry in listed:
        name = name_of(entry) if isinstance(entry, dict) else None
        if isinstance(name, str) and len(name) <= LONGEST_NAME and name.isprintable():
            named.setdefault(name.strip(), entry)
    named.pop("", None)
    if listed and not named:
        raise errors.StreamBroken("no model in the list has a name")
    return list(named.values())


def _name(entry: Mapping[str, Any]) -> Any:
    return entry.get("name") or entry.get("model")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: object) -> frozenset[str]:
    if not isinstance(value, list):
        return frozenset()
    return frozenset(item for item in value if isinstance(item, str))


def _moment(value: object) -> datetime | None:
    """RFC 3339 as Go writes it, with nanoseconds."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value))
    except ValueError:
        return None
    if moment.tzinfo is None or moment.year < 2000:
        return None
    return moment.astimezone(UTC)
