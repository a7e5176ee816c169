"""The models, speeds and limits of a simulated server.

A profile is JSON: the fields of `ServerProfile`; `models` is a list of `ModelProfile` fields.
Built-in ones are beside this file in `builtin/`.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from llm.types import BackendKind
from llm.wire.values import ModelCard

Kind = str
KINDS: tuple[Kind, ...] = tuple(kind.value for kind in BackendKind)
UNLIMITED = 0
_BUILTIN = Path(__file__).parent / "builtin"


class ProfileError(ValueError):
    """A profile that cannot be used; the message names the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """One model. A rate of 0 means "no time at all"; rates are per stream. `slot_context_tokens` is
    the part of `context_tokens` that one slot of llama-server has."""

    name: str
    size_bytes: int = 1_000_000_000
    parameters: int = 1_000_000_000
    quantization: str = "Q4_K_M"
    family: str = "llama"
    context_tokens: int = 4096
    slot_context_tokens: int = UNLIMITED
    capabilities: tuple[str, ...] = ("completion",)
    load_seconds: float = 0.0
    prefill_tokens_per_second: float = 0.0
    decode_tokens_per_second: float = 0.0
    slots: int | None = None
    kv_bytes_per_token: int = 131_072
    blob: str = ""

    @property
    def runner(self) -> str:
        """The name of what is in memory; models of one ``blob`` share it, as in Ollama."""
        return self.blob or self.name

    def card(self, *, format_name: str) -> ModelCard:
        """The model as the wire formats describe it."""
        return ModelCard(
            name=self.name,
            size_bytes=self.size_bytes,
            parameters=self.parameters,
            quantization=self.quantization,
            context_tokens=self.context_tokens,
            capabilities=self.capabilities,
            family=self.family,
            format=format_name,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProfile:
    """A server. Every limit of 0 means "none"; times are before the time scale.

    `slots` bounds streams per model, `server_slots` streams in all. `queue_limit` bounds waiting
    requests; with `queue_covers` "loads" only those that wait for a model, as Ollama counts.
    `strict_order`: the first request that needs a load blocks all behind it (Ollama); otherwise
    a model in use is drained for a waiting one after `fairness_seconds`.
    `default_context_tokens` is the context of a model loaded without `num_ctx`. `sharing` slows
    each of n streams of a model by n ** sharing: 0 for none, 1 when they share one rate.
    `compares_requested_context`: a context above the model's is cut to it, but a different
    request still reloads the model (Ollama). `warm_load_seconds` is the reported load time of a
    resident model (Ollama: 0.03 to 0.35). `lists_as` "llama-server" adds `meta` and `status` to
    `/v1/models`, the models that are not in memory, and `/props` with its slots.
    `prefix_cache`: "slots" keeps the last prompt of each slot (Ollama, llama-server), "shared" one
    store of `prefix_cache_bytes` for all streams (our MLX server, vLLM). Cached tokens take no
    time, and are reported where `reports_cached_tokens` (Ollama does not). Requests above
    `requests_per_minute` get 429; a non-empty `api_key` is required.
    """

    models: tuple[ModelProfile, ...]
    version: str = "0.32.1"
    max_resident_models: int = UNLIMITED
    memory_bytes: int = UNLIMITED
    slots: int = 1
    server_slots: int = UNLIMITED
    queue_limit: int = 512
    queue_covers: Literal["all", "loads"] = "all"
    retry_after_seconds: int = UNLIMITED
    strict_order: bool = False
    fairness_seconds: float = 0.0
    cancel_load_on_disconnect: bool = False
    keep_alive_seconds: float = 300.0
    default_context_tokens: int = 4096
    resident_at_start: bool = False
    sharing: float = 0.0
    min_answer_tokens: int = 60
    max_answer_tokens: int = 200
    format: str = "gguf"
    requests_per_minute: int = UNLIMITED
    api_key: str = ""
    compares_requested_context: bool = False
    warm_load_seconds: float = 0.0
    prefix_cache: Literal["none", "slots", "shared"] = "none"
    prefix_cache_bytes: int = UNLIMITED
    reports_cached_tokens: bool = True
    lists_as: Literal["vllm", "llama-server"] = "vllm"


def load_profile(kind: Kind, source: str | None = None) -> ServerProfile:
    """The profile in the file `source`, or the built-in one of that name; by default `kind`'s own.

    Raises ProfileError with the name of the wrong field.
    """
    name = source or kind
    built_in = _BUILTIN / f"{name}.json"
    path = built_in if built_in.parent == _BUILTIN and built_in.is_file() else Path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        known = ", ".join(sorted(found.stem for found in _BUILTIN.glob("*.json")))
        raise ProfileError(f"no profile {name!r} (built in: {known}): {error}") from error
    return parse_profile(text, where=str(path))


def parse_profile(text: str, *, where: str = "profile") -> ServerProfile:
    """The profile that JSON `text` describes. Raises ProfileError."""
    try:
        body = json.loads(text)
    except ValueError as error:
        raise ProfileError(f"{where}: not JSON: {error}") from error
    if not isinstance(body, dict) or not isinstance(body.get("models"), list) or not body["models"]:
        raise ProfileError(f"{where}: needs a list 'models' with at least one model")
    body["models"] = tuple(
        _build(ModelProfile, model, where=f"{where}: models[{index}]")
        for index, model in enumerate(body["models"])
    )
    names = [model.name for model in body["models"]]
    if len(set(names)) < len(names):
        raise ProfileError(f"{where}: two models have the same name")
    return _build(ServerProfile, body, where=where)


_Value = TypeVar("_Value", ModelProfile, ServerProfile)


def _build(cls: type[_Value], body: Any, *, where: str) -> _Value:
    if not isinstance(body, dict):
        raise ProfileError(f"{where}: must be an object")
    known = {field.name for field in dataclasses.fields(cls)}
    for name in body:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ProfileError(f"{where}: unknown field {name!r}{hint}")
    hints = typing.get_type_hints(cls)
    values = {name: _checked(value, hints[name], f"{where}.{name}") for name, value in body.items()}
    try:
        return cls(**values)
    except TypeError as error:
        raise ProfileError(f"{where}: {error}") from error


def _checked(value: Any, hint: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is tuple:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        if isinstance(value, tuple):
            return value
        raise ProfileError(f"{where}: must be a list of texts")
    if origin is Literal:
        if value not in typing.get_args(hint):
            raise ProfileError(f"{where}: must be one of {', '.join(typing.get_args(hint))}")
        return value
    allowed = tuple(typing.get_args(hint)) if origin is types.UnionType else (hint,)
    if float in allowed:
        allowed = (*allowed, int)
    if isinstance(value, bool) is not (bool in allowed) or not isinstance(value, allowed):
        raise ProfileError(f"{where}: must be of type {hint}, not {type(value).__name__}")
    if isinstance(value, int | float) and value < 0:
        raise ProfileError(f"{where}: must not be negative")
    return value
