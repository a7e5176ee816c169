"""A limit on requests per minute, as hosted servers have one."""

from __future__ import annotations

from collections import deque

WINDOW_SECONDS = 60.0


class RateLimit:
    """At most `per_minute` requests in any `window_seconds`; 0 means no limit."""

    def __init__(self, per_minute: int, *, window_seconds: float = WINDOW_SECONDS) -> None:
        self._per_minute = per_minute
        self._window_seconds = window_seconds
        self._admitted: deque[float] = deque()

    def admit(self, now: float) -> float:
        """Count a request at `now` (seconds); returns 0, or the seconds to wait when it is
        refused."""
        if not self._per_minute:
            return 0.0
        while self._admitted and now - self._admitted[0] >= self._window_seconds:
            self._admitted.popleft()
        if len(self._admitted) < self._per_minute:
            self._admitted.append(now)
            return 0.0
        return self._window_seconds - (now - self._admitted[0])

    def clear(self) -> None:
        """Forget all requests."""
        self._admitted.clear()
