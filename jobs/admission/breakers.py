"""Circuit breakers of every backend and model, shared by all processes through Redis."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import redis

from jobs.process.clock import utc_now
from jobs.queues.names import BREAKERS, PAUSED
from llm import breaker
from llm.breaker import BACKEND_RULES, MODEL_RULES, BreakerPhase, BreakerState
from llm.errors import LLMError

logger = logging.getLogger(__name__)

CACHE_SECONDS = 1.0


class Breakers:
    """Reads are cached for a second; writes go through one optimistic transaction.

    ``on_open`` is called with the backend whose breaker, or that of a model of it, has opened.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_open: Callable[[str], None] = lambda backend: None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._on_open = on_open
        self._cached_at = float("-inf")
        self._states: dict[str, BreakerState] = {}
        self._paused: frozenset[str] = frozenset()

    def states(self) -> dict[str, BreakerState]:
        """Every breaker that is not in its initial state, by ``backend`` or ``backend|model``."""
        self._refresh()
        return self._states

    def blocked(self, backend: str, model: str | None = None) -> str | None:
        """Why nothing may be sent there now, or None."""
        self._refresh()
        if backend in self._paused:
            return "paused"
        for key in (backend, _key(backend, model)) if model else (backend,):
            state = self._states.get(key)
            if state is not None and not breaker.allows(state, _now()):
                return f"breaker {state.phase.value}: {state.reason or 'failures in a row'}"
        return None

    def closed_models(self, backend: str) -> dict[str, str]:
        """The models of ``backend`` to which nothing may be sent now, each with the reason."""
        start = _key(backend, "")
        names = [key.removeprefix(start) for key in self.states() if key.startswith(start)]
        found = {name: self.blocked(backend, name) for name in names}
        return {name: reason for name, reason in found.items() if reason is not None}

    def succeeded(self, backend: str, model: str) -> None:
        """A whole answer came back."""
        self._refresh()
        # Only a stored breaker is written: a success in the usual state costs no round trip.
        for key in (backend, _key(backend, model)):
            if key in self._states:
                self._change(key, breaker.on_success)

    def failed(self, backend: str, model: str | None, error: LLMError) -> bool:
        """Count a failure against the backend or the model; True when this opened a breaker."""
        opened = False
        if breaker.counts_against_backend(error):
            opened = self._count(backend, error, BACKEND_RULES)
        if model and breaker.counts_against_model(error):
            opened = self._count(_key(backend, model), error, MODEL_RULES) or opened
        if opened:
            self._on_open(backend)
        return opened

    def due_probes(self) -> list[str]:
        """Keys whose canary is due."""
        now = _now()
        return [key for key, state in self.states().items() if breaker.is_probe_due(state, now)]

    def probe_started(self, key: str) -> None:
        self._change(key, lambda state: breaker.on_probe(state, _now(), rules=_rules(key)))

    def probe_failed(self, key: str, error: LLMError) -> None:
        self._count(key, error, _rules(key))

    def probe_succeeded(self, key: str) -> None:
        self._change(key, breaker.on_success)
        logger.info("breaker_closed key=%s", key)

    def pause(self, backend: str) -> None:
        self._client.sadd(PAUSED, backend)
        self._cached_at = float("-inf")

    def resume(self, backend: str) -> None:
        self._client.srem(PAUSED, backend)
        self._cached_at = float("-inf")

    def paused(self) -> frozenset[str]:
        self._refresh()
        return self._paused

    def read_again(self) -> None:
        """What was read last is out of date."""
        self._cached_at = float("-inf")

    def _count(self, key: str, error: LLMError, rules: breaker.BreakerRules) -> bool:
        def count(state: BreakerState) -> BreakerState:
            return breaker.on_failure(
                state,
                _now(),
                rules=rules,
                reason=f"{error.code}: {error}"[:200],
                retry_after_seconds=error.retry_after_seconds,
            )

        before, after = self._change(key, count)
        opened = before.phase is BreakerPhase.CLOSED and after.phase is BreakerPhase.OPEN
        if opened:
            logger.warning("breaker_open key=%s reason=%s", key, after.reason)
        return opened

    def _change(
        self, key: str, change: Callable[[BreakerState], BreakerState]
    ) -> tuple[BreakerState, BreakerState]:
        def transaction(pipe: Any) -> Any:
            before = _loads(pipe.hget(BREAKERS, key))
            after = change(before)
            pipe.multi()
            if after == breaker.CLOSED:
                pipe.hdel(BREAKERS, key)
            else:
                pipe.hset(BREAKERS, key, breaker.dumps(after))
            return before, after

        self._cached_at = float("-inf")
        # Two workers that count a failure at once must both be counted.
        changed: Any = self._client.transaction(transaction, BREAKERS, value_from_callable=True)
        before, after = changed
        return before, after

    def _refresh(self) -> None:
        if self._clock() - self._cached_at < CACHE_SECONDS:
            return
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hgetall(BREAKERS)
            pipe.smembers(PAUSED)
            states, paused = pipe.execute()
        self._states = {_text(key): _loads(value) for key, value in states.items()}
        self._paused = frozenset(_text(name) for name in paused)
        self._cached_at = self._clock()


def split(key: str) -> tuple[str, str | None]:
    """``backend|model`` -> both; a backend alone has no model."""
    backend, _, model = key.partition("|")
    return backend, model or None


def _key(backend: str, model: str | None) -> str:
    return f"{backend}|{model}"


def _rules(key: str) -> breaker.BreakerRules:
    return MODEL_RULES if "|" in key else BACKEND_RULES


def _loads(value: bytes | str | None) -> BreakerState:
    if value is None:
        return breaker.CLOSED
    try:
        return breaker.loads(_text(value))
    except ValueError:
        # An older or newer version may have written it; a closed breaker lets calls find out.
        logger.warning("breaker_unreadable value=%r", value)
        return breaker.CLOSED


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _now() -> datetime:
    return utc_now()
