"""Values that the wire builders of every format share."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """A model as a server describes it. `parameters` is the count of weights (7_000_000_000),
    `quantization` a label such as "Q4_K_M"."""

    name: str
    size_bytes: int
    parameters: int = 0
    quantization: str = ""
    context_tokens: int = 4096
    capabilities: tuple[str, ...] = ("completion",)
    family: str = ""
    format: str = "gguf"
    modified_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    @property
    def digest(self) -> str:
        """A stable identity of 64 hex digits, derived from name and size."""
        return hashlib.sha256(f"{self.name}:{self.size_bytes}".encode()).hexdigest()

    @property
    def parameter_size(self) -> str:
        """The weight count in short form: "32.8B", "494M"; empty when unknown."""
        if self.parameters >= 1_000_000_000:
            return f"{self.parameters / 1e9:.1f}B"
        return f"{self.parameters / 1e6:.0f}M" if self.parameters else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationUsage:
    """Tokens and time of one generation; durations in seconds. `cached_tokens` are prompt tokens
    from the prefix cache, None where unknown."""

    prompt_tokens: int = 0
    cached_tokens: int | None = None
    completion_tokens: int = 0
    load_seconds: float = 0.0
    prompt_seconds: float = 0.0
    completion_seconds: float = 0.0
    total_seconds: float = 0.0


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with a `Z`, as Ollama (a Go program) writes it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"


def dump(body: JsonObject) -> bytes:
    """Compact JSON in UTF-8; a lone surrogate, which UTF-8 cannot carry, becomes "?"."""
    return _ENCODER.encode(body).encode("utf-8", "replace")
