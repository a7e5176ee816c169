"""How fast a model speaks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

# A sleep of less costs more than it shows; the tokens that are due go out together.
SHORTEST_WAIT_SECONDS = 0.004
# Who is late (a client that does not read, a busy machine) may catch up on this much, no more.
_CATCH_UP_SECONDS = 1.0


@dataclass(slots=True)
class TokenPace:
    """When the next token is due. A `rate` of 0 tokens per second means at once; it is asked
    for each token, because streams that come and go may change it."""

    rate: Callable[[], float]
    _due_at: float | None = None

    def wait_seconds(self, now: float) -> float:
        """Count one token at `now` (seconds); how long to wait before it, 0 when it is due."""
        tokens_per_second = self.rate()
        if not tokens_per_second:
            return 0.0
        before = now if self._due_at is None else max(self._due_at, now - _CATCH_UP_SECONDS)
        self._due_at = before + 1.0 / tokens_per_second
        left = self._due_at - now
        return left if left >= SHORTEST_WAIT_SECONDS else 0.0


def shared_rate(alone: float, *, streams: int, sharing: float) -> float:
    """The rate of each of n streams of a model that has the rate `alone` for a single one."""
    return alone / math.pow(max(streams, 1), sharing)
