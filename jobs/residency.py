"""Which models are in memory where, as last seen: shared through Redis, never asked in a plan."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence

import redis

from llm.backends.base import Backend
from llm.errors import LLMError
from llm.types import CancelToken, Deadlines, ResidentModel
from models import load
from models.database import DatabaseUnavailable, session
from models.load import Cause

logger = logging.getLogger(__name__)

RESIDENT = "kos:resident"
TRUST_SECONDS = 30.0
FORGET_SECONDS = 600.0
ORDERED_FOR_SECONDS = 300


class Residency:
    """Makes sure that a model is loaded before a call, once for all threads of this process."""

    def __init__(self, client: redis.Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._loading: dict[tuple[str, str, int], threading.Lock] = {}
        self._used_at: dict[tuple[str, str, int], float] = {}
        self._last: dict[str, tuple[str, int]] = {}

    def ensure(
        self,
        backend: Backend,
        model: str,
        num_ctx: int,
        *,
        deadlines: Deadlines,
        cancel: CancelToken | None = None,
        cause: Cause = "task",
    ) -> float:
        """Load ``model`` unless it is in memory; the seconds spent loading (0.0: it was there).

        Raises LLMError where the server cannot load it.
        """
        key = (backend.name, model, num_ctx)
        if self._fresh(key):
            return 0.0
        with self._lock_of(key):
            if self._fresh(key):
                return 0.0
            seconds = self._load_unless_there(backend, model, num_ctx, deadlines, cancel)
            self._used(key)
            self._publish(backend)
            if seconds > 0:
                self._record(backend.name, model, num_ctx, seconds, cause)
            return seconds

    def used(self, backend: str, model: str, num_ctx: int) -> None:
        """A whole answer came from it: it is in memory."""
        self._used((backend, model, num_ctx))

    def forget(self, backend: str) -> None:
        """The server failed: what was known of it says nothing any more."""
        with self._lock:
            for key in [key for key in self._used_at if key[0] == backend]:
                del self._used_at[key]

    def seen(self, backend: str) -> tuple[str, ...] | None:
        """The models last seen in memory there, or None where nobody looked lately."""
        stored = self._client.hget(RESIDENT, backend)
        if stored is None:
            return None
        line = json.loads(stored)
        if time.time() - line["at"] > FORGET_SECONDS:
            return None
        return tuple(line["models"])

    def announce(self, backend: str, model: str) -> None:
        """A load of ``model`` was ordered; it is not ordered again while this stands."""
        self._client.set(_loading_key(backend), model, ex=ORDERED_FOR_SECONDS)

    def announced(self, backend: str) -> str | None:
        """The model whose load was ordered there and has not ended, or None."""
        stored = self._client.get(_loading_key(backend))
        return stored.decode() if isinstance(stored, bytes) else stored

    def load_ended(self, backend: str) -> None:
        self._client.delete(_loading_key(backend))

    def publish(self, backend: str, residents: Sequence[ResidentModel]) -> None:
        line = {"at": time.time(), "models": [model.name for model in residents]}
        self._client.hset(RESIDENT, backend, json.dumps(line))

    def _fresh(self, key: tuple[str, str, int]) -> bool:
        at = self._used_at.get(key)
        is_last = self._last.get(key[0]) == key[1:]
        return at is not None and is_last and self._clock() - at < TRUST_SECONDS

    def _used(self, key: tuple[str, str, int]) -> None:
        with self._lock:
            self._used_at[key] = self._clock()
            self._last[key[0]] = key[1:]

    def _lock_of(self, key: tuple[str, str, int]) -> threading.Lock:
        with self._lock:
            return self._loading.setdefault(key, threading.Lock())

    def _load_unless_there(
        self,
        backend: Backend,
        model: str,
        num_ctx: int,
        deadlines: Deadlines,
        cancel: CancelToken | None,
    ) -> float:
        for resident in backend.resident_models():
            same_context = not num_ctx or resident.context_tokens in (None, num_ctx)
            if resident.name == model and same_context:
                return 0.0
        return backend.preload(model, num_ctx=num_ctx or None, deadlines=deadlines, cancel=cancel)

    def _record(self, backend: str, model: str, num_ctx: int, seconds: float, cause: Cause) -> None:
        logger.info("model_loaded backend=%s model=%s seconds=%.2f", backend, model, seconds)
        try:
            with session():
                load.record(backend, model, num_ctx=num_ctx, seconds=seconds, cause=cause)
        except DatabaseUnavailable as error:
            logger.warning("load_not_recorded model=%s error=%s", model, error)

    def _publish(self, backend: Backend) -> None:
        try:
            residents = backend.resident_models()
            if residents:
                self.publish(backend.name, residents)
        except LLMError:
            return
        except redis.RedisError as error:
            logger.warning("residents_not_published backend=%s error=%s", backend.name, error)


def _loading_key(backend: str) -> str:
    return f"kos:loading:{backend}"
