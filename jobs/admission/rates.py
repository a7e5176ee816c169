"""Requests and tokens per minute of a backend, counted over every process and host.

Both bounds are checked and spent in one script, by the clock of Redis, over a sliding minute of
whole seconds: in no 60 seconds is more granted than the limit. Tokens are spent as expected and
corrected by :meth:`Rates.settle` when the answer is in. A process that dies leaves its expectation
behind, which leaves the window on its own. The well-kept ``limits`` package was not taken: its
windows cannot spend two bounds as one, cannot be corrected, and store one entry for each token.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis

WINDOW_SECONDS = 60


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The bounds of one backend; None means unbounded."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    @property
    def unbounded(self) -> bool:
        return self.requests_per_minute is None and self.tokens_per_minute is None


@dataclass(frozen=True, slots=True)
class RateDecision:
    """Whether a request may go now.

    ``retry_in_seconds`` is when it would fit if no other request came; None when granted.
    ``second`` and ``expected_tokens`` are for :meth:`Rates.settle`.
    """

    granted: bool
    retry_in_seconds: float | None
    reason: str
    backend: str = ""
    second: int = 0
    expected_tokens: int = 0


class Rates:
    """The rates of every backend. Methods raise ``redis.RedisError`` when Redis does not answer."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        prefix: str = "kos:rates",
        window_seconds: int = WINDOW_SECONDS,
    ) -> None:
        folder = resources.files("jobs.admission") / "lua"
        self._prefix = prefix
        self._window_seconds = window_seconds
        self._try = client.register_script((folder / "rates_try.lua").read_text("utf-8"))
        self._settle = client.register_script((folder / "rates_settle.lua").read_text("utf-8"))

    def try_acquire(
        self, backend: str, *, requests: int = 1, tokens: int = 0, limits: RateLimits
    ) -> RateDecision:
        """Spend ``requests`` and ``tokens`` of the minute if both fit; spend nothing otherwise.

        A request for more tokens than a whole minute holds goes alone, in an empty minute.
        """
        if limits.unbounded:
            return RateDecision(True, None, "no rate is set", backend)
        bounds = (_bound(limits.requests_per_minute), _bound(limits.tokens_per_minute))
        answer: list[Any] = self._try(
            keys=[self._key(backend)], args=[requests, tokens, *bounds, self._window_seconds]
        )
        granted, wait_ms, second = bool(answer[0]), int(answer[2]), int(answer[3])
        spent = (int(answer[4]), int(answer[5]))
        if granted:
            return RateDecision(True, None, _spent_reason(spent, limits), backend, second, tokens)
        what = _text(answer[1])
        bound, used = (bounds[0], spent[0]) if what == "requests" else (bounds[1], spent[1])
        reason = f"{used} of {bound} {what} a minute are spent"
        return RateDecision(False, wait_ms / 1000, reason, backend)

    def settle(self, decision: RateDecision, *, tokens: int) -> bool:
        """Correct the estimate of a granted ``decision`` to the ``tokens`` really used.

        Returns whether there was something to correct: False once the minute has passed.
        """
        difference = tokens - decision.expected_tokens
        if not decision.granted or decision.second == 0 or difference == 0:
            return False
        arguments = [decision.second, difference, self._window_seconds]
        return bool(self._settle(keys=[self._key(decision.backend)], args=arguments))

    def _key(self, backend: str) -> str:
        return f"{self._prefix}:{backend}"


def _bound(limit: int | None) -> int:
    return -1 if limit is None else limit


def _spent_reason(spent: tuple[int, int], limits: RateLimits) -> str:
    parts = []
    if limits.requests_per_minute is not None:
        parts.append(f"{spent[0]} of {limits.requests_per_minute} requests")
    if limits.tokens_per_minute is not None:
        parts.append(f"{spent[1]} of {limits.tokens_per_minute} tokens")
    return f"{' and '.join(parts)} of this minute are spent"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
