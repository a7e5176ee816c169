"""How fast a model generates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

# Shorter sleeps cost more than they show; tokens that are due are sent together.
SHORTEST_WAIT_SECONDS = 0.004
# A late stream (a client that does not read, a busy machine) may catch up by this much at most.
_CATCH_UP_SECONDS = 1.0


@dataclass(slots=True)
class TokenPace:
    """When the next token is due. `rate` is tokens per second; 0 means at once. It is read for each
    token, because other streams change it."""

    rate: Callable[[], float]
    _due_at: float | None = None

    def wait_seconds(self, now: float) -> float:
        """Count one token at `now` (seconds); returns the seconds until it is due, 0 when it is."""
        tokens_per_second = self.rate()
        if not tokens_per_second:
            return 0.0
        before = now if self._due_at is None else max(self._due_at, now - _CATCH_UP_SECONDS)
        self._due_at = before + 1.0 / tokens_per_second
        left = self._due_at - now
        return left if left >= SHORTEST_WAIT_SECONDS else 0.0


def shared_rate(alone: float, *, streams: int, sharing: float) -> float:
    """The rate of each of n streams of a model whose single stream has the rate `alone`."""
    return alone / math.pow(max(streams, 1), sharing)
