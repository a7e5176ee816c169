"""The values in the interface of this package. Standard library only.

Durations are floats in seconds, sizes integers in bytes, times timezone-aware UTC datetimes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal


class BackendKind(StrEnum):
    """The wire format a model server speaks."""

    OLLAMA = "ollama"
    MLX = "mlx"
    OPENAI = "openai"

    @classmethod
    def _missing_(cls, value: object) -> BackendKind:
        known = ", ".join(kind.value for kind in cls)
        raise ValueError(f"no kind of model server is named {value!r}; known: {known}")


class Category(StrEnum):
    """What kind of work a task needs from a model."""

    DEFAULT = "default"
    FAST = "fast"
    CODING = "coding"
    REASONING = "reasoning"
    VISION = "vision"


class Phase(StrEnum):
    """The phase of a running request; heartbeats carry it."""

    WAITING = "waiting"
    LOADING = "loading"
    PREFILL = "prefill"
    DECODING = "decoding"


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """One model server as configured.

    ``url`` is normalised (scheme, no trailing slash, no credentials); its credentials are kept in
    ``basic_auth``. ``api_key_env`` names the environment variable of the key; the key itself is
    never part of a value that may be logged. ``metrics_urls`` are read for its load instead of the
    ``url``, and together show all of it.
    """

    name: str
    kind: BackendKind
    url: str
    max_concurrent: int = 4
    api_key_env: str | None = None
    basic_auth: tuple[str, str] | None = field(default=None, repr=False)
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_resident_models: int | None = None
    metrics_urls: tuple[str, ...] = ()
    models_by_category: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a server samples the next token. None (or empty) leaves a value to the server.
    ``repeat_penalty`` divides the probability of tokens that have occurred: 1.0 is none."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    repeat_penalty: float | None = None

    def over(self, other: Sampling) -> Sampling:
        """These values; missing ones are taken from ``other``."""
        return Sampling(**{**other.values(), **self.values()})

    def values(self) -> dict[str, Any]:
        """The fields that have a value, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if value not in (None, ())}


SERVER_DEFAULTS = Sampling()


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model a server can serve. ``sampling`` is what its author set for it."""

    name: str
    size_bytes: int | None = None
    parameters: int | None = None
    quantization: str | None = None
    context_tokens: int | None = None
    capabilities: frozenset[str] = frozenset()
    family: str | None = None
    sampling: Sampling = SERVER_DEFAULTS


@dataclass(frozen=True, slots=True)
class ResidentModel:
    """A model that is in memory now. ``prompt_slots``: how many requests it works on at once, where
    the server says so and each of these slots keeps the prompt that it read last."""

    name: str
    size_bytes: int | None = None
    context_tokens: int | None = None
    expires_at: datetime | None = None
    active_requests: int | None = None
    prompt_slots: int | None = None


@dataclass(frozen=True, slots=True)
class BackendHealth:
    """What a server reports about itself. Reachable is not healthy: only a generation proves
    that."""

    reachable: bool
    error: str | None = None
    version: str | None = None
    active_requests: int | None = None
    max_concurrent: int | None = None
    queue_size: int | None = None
    loading_models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One completion request. ``max_tokens`` is always sent, because some servers have no limit by
    default. ``verbatim`` accepts any answer, even an empty one or the prompt itself."""

    model: str
    messages: tuple[Message, ...]
    max_tokens: int
    num_ctx: int | None = None
    sampling: Sampling = SERVER_DEFAULTS
    response_schema: Mapping[str, Any] | None = None
    think: bool | None = None
    keep_alive: str | int | None = None
    request_id: str | None = None
    verbatim: bool = False

    @property
    def prompt_text(self) -> str:
        """The text of the last user message, which the echo detector compares."""
        for message in reversed(self.messages):
            if message.role == "user":
                return message.content
        return ""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Separate bounds on every phase of one call, in seconds."""

    connect_seconds: float = 3.05
    load_seconds: float = 120.0
    first_token_seconds: float = 120.0
    between_tokens_seconds: float = 30.0
    total_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Completion:
    """A complete answer: the server sent its terminal marker.

    ``load_seconds``, ``prefill_seconds``, ``decode_seconds``, ``prompt_tokens`` and
    ``cached_prompt_tokens`` (prompt tokens served from the server's prefix cache) are None where
    the server does not report them. ``completion_tokens`` falls back to the number of chunks.
    """

    text: str
    model: str
    backend: str
    finish_reason: Literal["stop", "length"]
    thinking: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int = 0
    load_seconds: float | None = None
    first_token_seconds: float | None = None
    duration_seconds: float = 0.0
    prefill_seconds: float | None = None
    decode_seconds: float | None = None
    cached_prompt_tokens: int | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """Decoding rate after the first token; None for too few tokens."""
        if self.first_token_seconds is None:
            return None
        decode = self.duration_seconds - self.first_token_seconds
        if decode <= 0 or self.completion_tokens < 2:
            return None
        return (self.completion_tokens - 1) / decode


@dataclass(frozen=True, slots=True)
class GenerationProgress:
    """``partial_text`` joins the answer so far; its cost grows with the length, so call it only for
    display."""

    phase: Phase
    completion_tokens: int = 0
    partial_text: Callable[[], str] | None = None


ProgressHook = Callable[[GenerationProgress], None]


class CancelToken:
    """Cancels a call from another thread.

    The first reason stays. Listeners run once, in the thread that cancels; if the token is already
    cancelled, at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        return self._reason is not None

    @property
    def reason(self) -> str | None:
        return self._reason

    def cancel(self, reason: str) -> None:
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    def wait(self, seconds: float) -> bool:
        """Sleep for ``seconds``. Returns True at once when cancelled."""
        woken = threading.Event()
        forget = self.on_cancel(woken.set)
        try:
            return woken.wait(seconds)
        finally:
            forget()

    def on_cancel(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Register ``listener``; returns a function that removes it."""
        with self._lock:
            if self._reason is None:
                self._listeners.append(listener)
                return lambda: self._remove(listener)
        listener()
        return lambda: None

    def _remove(self, listener: Callable[[], None]) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)


@dataclass(frozen=True, slots=True)
class ScannedModel:
    """A model as the scanner classified it. ``strengths``: how well it suits each category, in
    doublings of size (see ``llm.catalog``)."""

    info: ModelInfo
    categories: tuple[Category, ...] = (Category.DEFAULT,)
    heavy: bool = False
    broken: str | None = None
    strengths: Mapping[Category, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.info.name


@dataclass(frozen=True, slots=True)
class ServerScan:
    """One server's answer: its models, or its error. A server that is down never has an empty list.
    ``ranking``: names for each category, best first, where the priority table was applied."""

    backend: str
    kind: BackendKind
    models: tuple[ScannedModel, ...] | None
    resident: tuple[ResidentModel, ...] = ()
    error: str | None = None
    scanned_at: datetime | None = None
    ranking: Mapping[Category, tuple[str, ...]] = field(default_factory=dict)

    @property
    def reachable(self) -> bool:
        return self.models is not None

    @property
    def usable(self) -> list[ScannedModel]:
        """The models that are not broken; none of a server that is down."""
        return [model for model in self.models or () if model.broken is None]

    def model(self, name: str) -> ScannedModel | None:
        return next((model for model in self.models or () if model.name == name), None)

    def places(self) -> dict[Category, dict[str, int]]:
        """The place of each name in the ranking of each category, from 0."""
        return {
            category: {name: place for place, name in enumerate(names)}
            for category, names in self.ranking.items()
        }

    def pick(self, category: Category) -> ScannedModel | None:
        """The best usable model for ``category`` by the ranking. Without a ranking, the first
        scanned model of ``category``, else of the default category."""
        usable = self.usable
        by_name = {model.name: model for model in usable}
        for name in self.ranking.get(category, ()):
            if name in by_name:
                return by_name[name]
        for wanted in (category, Category.DEFAULT):
            for model in usable:
                if wanted in model.categories:
                    return model
        return usable[0] if usable else None


@dataclass(frozen=True, slots=True)
class Scan:
    """Every configured server at one moment."""

    at: datetime
    servers: tuple[ServerScan, ...]

    def server(self, backend: str) -> ServerScan | None:
        return next((server for server in self.servers if server.backend == backend), None)
