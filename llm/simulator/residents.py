"""The values of the engine: resident models, load orders and waiting requests."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from llm.simulator.prefix_cache import PrefixCache
from llm.simulator.profiles import ModelProfile


class QueueFullError(Exception):
    """Too many requests wait; `retry_after_seconds` is 0 when the server does not give it."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("maximum pending requests exceeded")
        self.retry_after_seconds = retry_after_seconds


class LoadFailedError(Exception):
    """The model could not be loaded."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What a model was loaded with; other options require a reload."""

    context_tokens: int
    others: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """A model to load with these options, the duration of the load (before the time scale), and its
    error, if any."""

    model: ModelProfile
    options: LoadOptions
    seconds: float
    error: LoadFailedError | None = None


@dataclass(slots=True, eq=False)
class SimulatedModel:
    """A loaded model, or one being loaded. `refs` counts every request bound to it, `active` those
    that hold a slot; `last_used` is in loop time."""

    model: ModelProfile
    options: LoadOptions
    keep_alive_seconds: float
    refs: int = 0
    active: int = 0
    last_used: float = 0.0
    is_loading: bool = False
    is_draining: bool = False
    is_eviction: bool = False
    arrivals: list[Ticket] = field(default_factory=list)
    queue: deque[tuple[int, asyncio.Future[None]]] = field(default_factory=deque)
    loading: asyncio.TimerHandle | None = None
    expiry: asyncio.TimerHandle | None = None
    prefixes: PrefixCache | None = None

    @property
    def is_idle(self) -> bool:
        """True when it can be unloaded at once."""
        return self.refs == 0 and not self.is_loading

    def serves(self, options: LoadOptions) -> bool:
        """True when a request with `options` may be bound to it."""
        return not self.is_draining and self.options == options

    def stop_expiry(self) -> None:
        """Cancel its expiry."""
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None


@dataclass(slots=True, eq=False)
class Ticket:
    """A request that waits for its model."""

    order: LoadOrder
    placed: asyncio.Future[SimulatedModel]
    waits_since: float
    resident: SimulatedModel | None = None

    def succeed(self, resident: SimulatedModel) -> None:
        """Let the request continue, unless its client has disconnected."""
        if not self.placed.done():
            self.placed.set_result(resident)

    def fail(self, error: LoadFailedError) -> None:
        """End the request with `error`, unless its client has disconnected."""
        if not self.placed.done():
            self.placed.set_exception(error)
