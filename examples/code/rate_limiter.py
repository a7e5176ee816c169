"""A token bucket shared by the threads of a web server."""

from __future__ import annotations

import time


class TokenBucket:
    """Allows ``rate`` requests a second on average and bursts of ``capacity``."""

    def __init__(self, rate: float, capacity: int) -> None:
        self.rate = rate
        self.capacity = capacity
        self.tokens = capacity
        self.updated_at = time.time()

    def allow(self) -> bool:
        now = time.time()
        elapsed = now - self.updated_at
        self.tokens = int(self.tokens + elapsed * self.rate)
        if self.tokens > self.capacity:
            self.tokens = self.capacity
        self.updated_at = now
        if self.tokens > 0:
            self.tokens -= 1
            return True
        return False


_buckets: dict[str, TokenBucket] = {}


def allow(client: str) -> bool:
    """Each client has a bucket of its own; they are never removed."""
    if client not in _buckets:
        _buckets[client] = TokenBucket(rate=5, capacity=10)
    return _buckets[client].allow()
