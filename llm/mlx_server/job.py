"""One generation inside the engine, and the channel that returns its answer."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from llm.mlx_server.catalog import ModelEntry
from llm.mlx_server.errors import ServerError
from llm.mlx_server.sampling import DecoderSampling
from llm.mlx_server.structured import GrammarProcessor
from llm.mlx_server.text import AnswerText, Piece

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The end of an answer: reason, tokens, and times in seconds."""

    reason: FinishReason
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    queue_seconds: float
    load_seconds: float
    prompt_seconds: float
    completion_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """The result of a request that only loads its model."""

    load_seconds: float


Event = Piece | Finished | Loaded | ServerError


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTokens:
    """Token ids; the first ``shared_tokens`` are a prefix worth caching for other requests."""

    tokens: tuple[int, ...]
    shared_tokens: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class EngineJob:
    """A request for the engine. ``prompt`` None only loads the model.

    The HTTP side builds it and afterwards changes only ``cancelled``, until the last event came.
    ``channel`` returns the events. The text of a job that is not ``eager`` is read once, at its
    end.
    """

    model: ModelEntry
    channel: Channel
    prompt: PromptTokens | None = None
    max_tokens: int = 0
    sampling: DecoderSampling = field(default_factory=DecoderSampling)
    eos_token_ids: frozenset[int] = frozenset()
    text: AnswerText | None = None
    eager: bool = True
    grammar: GrammarProcessor | None = None
    keep_alive_seconds: float | None = None
    cancelled: bool = False
    arrived_at: float = field(default_factory=time.monotonic)
    admitted_at: float = 0.0
    first_token_at: float = 0.0
    next_piece_at: float = 0.0
    load_seconds: float = 0.0
    cached_tokens: int = 0
    completion_tokens: int = 0

    @property
    def reserve_bytes(self) -> int:
        """The size that the key-value cache of this request may reach."""
        if self.prompt is None:
            return 0
        tokens = len(self.prompt.tokens) + self.max_tokens
        return tokens * self.model.kv_bytes_per_token

    def finished(self, reason: FinishReason, *, now: float) -> Finished:
        first = self.first_token_at or now
        return Finished(
            reason=reason,
            prompt_tokens=len(self.prompt.tokens) if self.prompt else 0,
            cached_tokens=self.cached_tokens,
            completion_tokens=self.completion_tokens,
            queue_seconds=max(0.0, self.admitted_at - self.arrived_at - self.load_seconds),
            load_seconds=self.load_seconds,
            prompt_seconds=first - self.admitted_at,
            completion_seconds=now - first,
            total_seconds=now - self.arrived_at,
        )


class Channel:
    """Carries events from the engine thread to one coroutine."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()

    def put(self, event: Event) -> None:
        """Add an event. From the event loop's thread only."""
        self._events.append(event)
        self._arrived.set()

    async def next(self) -> Event:
        """The next event. Text that accumulated in the meantime comes as one piece."""
        while not self._events:
            self._arrived.clear()
            await self._arrived.wait()
        event = self._events.popleft()
        if not isinstance(event, Piece):
            return event
        while self._events and isinstance(later := self._events[0], Piece):
            event += later
            self._events.popleft()
        return event


class Mailbox:
    """Transfers events once per engine step, however many tokens the step made."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._posted: list[tuple[Channel, Event]] = []

    def post(self, channel: Channel, event: Event) -> None:
        self._posted.append((channel, event))

    def flush(self) -> None:
        if not self._posted or self._loop.is_closed():
            return
        posted, self._posted = self._posted, []
        self._loop.call_soon_threadsafe(_put_all, posted)


def _put_all(posted: list[tuple[Channel, Event]]) -> None:
    for channel, event in posted:
        channel.put(event)
