"""Model servers whose queue no program takes: its worker was stopped, or fails again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import redis

from jobs.process.clock import epoch_seconds
from jobs.queues.names import UNCONSUMED, llm_queue
from jobs.queues.worker_register import consumed_queues, registered

CACHE_SECONDS = 1.0
GRACE_SECONDS = 10.0
"""A worker that starts, or is started anew, has this long to register."""


class Consumers:
    """Finds backends without a consumer. The time of the loss is in Redis, so that all processes
    agree."""

    def __init__(self, client: redis.Redis, *, clock: Callable[[], float] = epoch_seconds) -> None:
        self._client = client
        self._clock = clock
        self._cached_at = float("-inf")
        self._taken: frozenset[str] = frozenset()
        self._since: dict[str, float] = {}
        self._last_missing: frozenset[str] = frozenset()

    def missing(self, backend: str) -> str | None:
        """Why nothing may be sent to ``backend``: its queue has no consumer; None where it has."""
        now = self._clock()
        if abs(now - self._cached_at) >= CACHE_SECONDS:
            self._refresh(now)
        if llm_queue(backend) in self._taken:
            if self._since.pop(backend, None) is not None:
                self._client.hdel(UNCONSUMED, backend)
            return None
        if backend not in self._since:
            # The first process that notices sets the time; others must not restart it.
            self._client.hsetnx(UNCONSUMED, backend, now)
            self._since[backend] = now
        if now - self._since[backend] < GRACE_SECONDS:
            return None
        return f"no worker takes its tasks: start it with kos ctl start jobs:{llm_queue(backend)}"

    def changed(self, backends: Iterable[str]) -> bool:
        """Whether the set of backends without a consumer differs from that of the last call."""
        before = self._last_missing
        self._last_missing = frozenset(name for name in backends if self.missing(name))
        return self._last_missing != before

    def start_anew(self) -> None:
        """Forget earlier observations: they date from before this start of the system."""
        self._client.delete(UNCONSUMED)
        self._cached_at = float("-inf")

    def _refresh(self, now: float) -> None:
        self._taken = consumed_queues(registered(self._client), now=now)
        self._since = {
            (name.decode() if isinstance(name, bytes) else name): float(at)
            for name, at in self._client.hgetall(UNCONSUMED).items()
        }
        self._cached_at = now
