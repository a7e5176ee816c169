"""What the engine publishes about itself: values, never its own objects."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from llm.mlx_server.memory import MemoryUse

RATE_WINDOW_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentView:
    """A model in memory. ``expires_in_seconds`` None: it stays until it is evicted."""

    name: str
    active: int
    waiting: int
    size_bytes: int
    prefix_cache_bytes: int
    batched: bool
    expires_in_seconds: float | None


@dataclass(slots=True, kw_only=True)
class EngineTotals:
    """Counts since the start. The engine counts on its own copy; each view gets another."""

    generated_tokens: int = 0
    prefilled_tokens: int = 0
    loads: int = 0
    load_failures: int = 0
    evictions: int = 0
    broken_batches: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineView:
    """The engine at one moment. ``last_token_at`` is Unix time, None before the first token."""

    residents: tuple[ResidentView, ...] = ()
    loading: str | None = None
    active: int = 0
    waiting: int = 0
    tokens_per_second: float = 0.0
    last_token_at: float | None = None
    totals: EngineTotals = field(default_factory=EngineTotals)
    memory: MemoryUse | None = None


class TokenRate:
    """Tokens per second over the last few seconds, computed from a running total."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def note(self, total: int) -> float:
        now = time.monotonic()
        self._marks.append((now, total))
        while now - self._marks[0][0] > RATE_WINDOW_SECONDS:
            self._marks.popleft()
        began, before = self._marks[0]
        return (total - before) / (now - began) if now > began else 0.0
