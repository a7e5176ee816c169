"""Which models are in memory at each server, as last seen. Shared through Redis, so that a plan
never asks a server."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import redis

from jobs.admission.load_reports import LoadReports
from jobs.process.clock import epoch_seconds, utc_now
from llm.backends.base import BackendAdapter
from llm.errors import CallCancelled, LLMError, TransientError
from llm.kinds import traits_of
from llm.types import BackendSpec, CancelToken, Deadlines, ResidentModel
from models import model_loads
from models.database import DatabaseUnavailable, session
from models.model_loads import Cause

logger = logging.getLogger(__name__)

RESIDENT = "kos:resident"
MOST_BYTES = "kos:most_resident_bytes"
TRUST_SECONDS = 30.0
FORGET_SECONDS = 600.0
LOOK_UP_SECONDS = 0.2
ORDERED_FOR_SECONDS = 300
HOLDS_CACHE_SECONDS = 5.0
HOLDS_FOR_SECONDS = 3600
"""Then the server is taken at its configuration again: it may have been restarted with more."""
HOLDS_FOR_SECONDS_OF_THESE = 600
"""The same where these models may have been too large together: smaller ones may fit."""
_NEVER = datetime.min.replace(tzinfo=UTC)

Key = tuple[str, str, int]
"""(backend, model, num_ctx)."""


@dataclass(frozen=True, slots=True)
class Holds:
    """A server was seen to hold fewer models than configured: loading ``loaded`` removed
    ``removed``, which nobody had unloaded and which had not expired, and left ``models``.
    ``together_bytes`` is the size of all together where the server never held as much: its memory
    may be the reason."""

    models: int
    loaded: str
    removed: str
    together_bytes: int | None = None


class Residency:
    """Makes sure that a model is loaded before a call, once for all threads of this process."""

    def __init__(self, client: redis.Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._loading: dict[Key, threading.Lock] = {}
        self._used_at: dict[Key, float] = {}
        self._last: dict[str, tuple[str, int]] = {}
        self._failures: dict[Key, tuple[float, TransientError]] = {}
        self._default_ctx: dict[tuple[str, str], int] = {}
        self._shared: dict[tuple[str, str], str] = {}
        self._load_reports = LoadReports(client)
        self._holds: dict[str, tuple[float, Holds | None]] = {}

    def ensure(
        self,
        backend: BackendAdapter,
        model: str,
        num_ctx: int,
        *,
        deadlines: Deadlines,
        cancel: CancelToken | None = None,
        cause: Cause = "task",
    ) -> float:
        """Load ``model`` unless it is in memory; the seconds spent loading (0.0: it was there).

        ``num_ctx`` 0 stands for the context that the server gives by itself; until this process
        has loaded the model so, any that is loaded will do.

        Raises LLMError where the server cannot load it.
        """
        key = (backend.name, model, num_ctx)
        asked_at = self._clock()
        if self._fresh(key) and not self._is_gone(key):
            return 0.0
        with self._turn(key, cancel):
            if self._fresh(key) and not self._is_gone(key):
                return 0.0
            # A failed load takes its whole deadline; ten waiting threads would repeat it ten times.
            self._fail_as_the_previous_load(key, asked_at)
            try:
                seconds = self._load(backend, key, deadlines=deadlines, cancel=cancel, cause=cause)
            except TransientError as error:
                self._failures[key] = (self._clock(), error)
                raise
            self._used(key)
        return seconds

    def is_fresh(self, backend: str, model: str, num_ctx: int) -> bool:
        """Whether this process saw it in memory so lately that nobody has to look again. It does
        not consider what other processes loaded since: `seen` does."""
        return self._fresh((backend, model, num_ctx))

    def used(self, backend: str, model: str, num_ctx: int) -> None:
        """Record that the model answered, so it is in memory."""
        self._used((backend, model, num_ctx))

    def loaded_inside(
        self,
        backend: str,
        model: str,
        num_ctx: int,
        *,
        load_seconds: float,
        call_seconds: float,
        cause: Cause = "task",
    ) -> None:
        """A call that took ``call_seconds`` until now reported a load that ended ``load_seconds``
        after it began: somebody else had brought the model out of memory. Calls that waited for
        one load together report one end of it."""
        key = (backend, model, num_ctx)
        ended_at = self._clock() - call_seconds + load_seconds
        self._count_load(key, ended_at, load_seconds, cause, inside=True)

    def forget(self, backend: str) -> None:
        """Forget what was known about a server that failed."""
        with self._lock:
            for key in [key for key in self._used_at if key[0] == backend]:
                del self._used_at[key]

    def seen(self, backend: str) -> tuple[str, ...] | None:
        """The models last seen in memory there, or None where nobody looked lately."""
        looked = self._last_look(backend)
        return looked[1] if looked is not None else None

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
        line = {"at": epoch_seconds(), "models": [model.name for model in residents]}
        self._client.hset(RESIDENT, backend, json.dumps(line))
        if (size := _bytes_of(residents)) > self._most_bytes(backend):
            self._client.hset(MOST_BYTES, backend, size)
        learned = self.learned_holds(backend)
        if learned is not None and len(residents) > learned.models:
            self._client.delete(_holds_key(backend))
            self._holds.pop(backend, None)

    def holds(self, spec: BackendSpec) -> int | None:
        """How many models the server holds at once: as configured, or fewer where fewer were seen;
        None where neither is known."""
        configured = spec.max_resident_models
        learned = self.learned_holds(spec.name) if configured and configured > 1 else None
        return learned.models if learned is not None else configured

    def learned_holds(self, backend: str) -> Holds | None:
        """None where the server has shown no other number than the configured one; read anew after
        :data:`HOLDS_CACHE_SECONDS`."""
        read_at, found = self._holds.get(backend, (-math.inf, None))
        if self._clock() - read_at >= HOLDS_CACHE_SECONDS:
            stored = self._client.get(_holds_key(backend))
            found = Holds(**json.loads(stored)) if stored is not None else None
            self._holds[backend] = self._clock(), found
        return found

    def withdraw(self, backend: str) -> None:
        """Record that the server is away and holds no model."""
        self._client.hdel(RESIDENT, backend)

    def _fresh(self, key: Key) -> bool:
        at = self._used_at.get(key)
        is_last = self._last.get(key[0]) == key[1:]
        return at is not None and is_last and self._clock() - at < TRUST_SECONDS

    def _is_gone(self, key: Key) -> bool:
        """Whether another process has looked since this one used the model, and did not find it: it
        may have loaded another model in its place."""
        try:
            looked = self._last_look(key[0])
        except redis.RedisError:
            return False
        if looked is None:
            return False
        # Looks carry wall clock time, for other processes; uses here are monotonic.
        used_at = epoch_seconds() - (self._clock() - self._used_at[key])
        names = {key[1], self._shared.get(key[:2])}
        return looked[0] > used_at and names.isdisjoint(looked[1])

    def _last_look(self, backend: str) -> tuple[float, tuple[str, ...]] | None:
        """When somebody last looked there (seconds since the epoch), and the models found."""
        stored = self._client.hget(RESIDENT, backend)
        if stored is None:
            return None
        line = json.loads(stored)
        if epoch_seconds() - line["at"] > FORGET_SECONDS:
            return None
        return float(line["at"]), tuple(line["models"])

    def _used(self, key: Key) -> None:
        with self._lock:
            self._used_at[key] = self._clock()
            self._last[key[0]] = key[1:]

    @contextmanager
    def _turn(self, key: Key, cancel: CancelToken | None) -> Iterator[None]:
        """One thread at a time loads a model; whoever waits may still be cancelled."""
        with self._lock:
            turn = self._loading.setdefault(key, threading.Lock())
        while not turn.acquire(timeout=LOOK_UP_SECONDS):
            if cancel is not None and cancel.cancelled:
                raise CallCancelled(cancel.reason or "cancelled", backend=key[0], model=key[1])
        try:
            yield
        finally:
            turn.release()

    def _fail_as_the_previous_load(self, key: Key, asked_at: float) -> None:
        """Threads that waited for a load share its error instead of trying again in turn."""
        failed_at, error = self._failures.get(key, (float("-inf"), None))
        if error is not None and failed_at >= asked_at:
            raise type(error)(str(error), backend=error.backend, model=error.model)

    def _load(
        self,
        backend: BackendAdapter,
        key: Key,
        *,
        deadlines: Deadlines,
        cancel: CancelToken | None,
        cause: Cause,
    ) -> float:
        """Load it unless the server lists it, publish what is there then, and record the loads.
        Returns the seconds spent."""
        before = backend.resident_models()
        seconds = self._load_unless_there(backend, key, before, deadlines=deadlines, cancel=cancel)
        ended_at = self._clock()
        residents = self._publish(backend)
        if seconds > 0 and self._is_unlisted(key[1], residents):
            first = (ended_at, seconds)
            seconds += self._load_unlisted(backend, key, first, residents, deadlines, cause)
        elif seconds > 0:
            self._learn_default(key, residents)
            self._learn_holds(backend.spec, key[1], before, residents)
            self._count_load(key, ended_at, seconds, cause)
        return seconds

    def _load_unless_there(
        self,
        backend: BackendAdapter,
        key: Key,
        residents: Sequence[ResidentModel],
        *,
        deadlines: Deadlines,
        cancel: CancelToken | None,
    ) -> float:
        name, model, num_ctx = key
        wanted = num_ctx or self._default_ctx.get((name, model))
        names = (model, self._shared.get((name, model)))
        for resident in residents:
            # Ollama loads a model anew for another context, so the name alone is not enough.
            same_context = wanted is None or resident.context_tokens in (None, wanted)
            if resident.name in names and same_context:
                return 0.0
        if residents and (self.holds(backend.spec) or 1) == 1:
            self._try_publish(backend.name, ())  # What is there leaves: nobody may count on it.
        return backend.preload(model, num_ctx=num_ctx or None, deadlines=deadlines, cancel=cancel)

    def _is_unlisted(self, model: str, residents: Sequence[ResidentModel]) -> bool:
        return bool(residents) and all(resident.name != model for resident in residents)

    def _load_unlisted(
        self,
        backend: BackendAdapter,
        key: Key,
        first: tuple[float, float],
        residents: Sequence[ResidentModel],
        deadlines: Deadlines,
        cause: Cause,
    ) -> float:
        """Load once more a model that is not listed after its ``first`` load (its end, its
        seconds). It is a second name of weights in memory, which loads at once, or another program
        displaced it. Returns the seconds to add."""
        name, model, num_ctx = key
        ended_at, seconds = first
        warm = traits_of(backend.spec.kind).warm_load_seconds
        again = seconds
        if seconds > warm:
            again = backend.preload(model, num_ctx=num_ctx or None, deadlines=deadlines)
        if again > warm:
            self._count_load(key, ended_at, seconds, cause)
            self._count_load(key, self._clock(), again, cause)
            return again
        other = max(residents, key=lambda one: one.expires_at or _NEVER).name
        self._shared[name, model], self._shared[name, other] = other, model
        return -seconds

    def _count_load(
        self, key: Key, ended_at: float, seconds: float, cause: Cause, *, inside: bool = False
    ) -> None:
        """Record a load of so many seconds that ended then, unless another call told of it."""
        runner, age = min(key[1], self._shared.get(key[:2], key[1])), self._clock() - ended_at
        if self._load_reports.is_first(
            key[0], runner, key[2], seconds=seconds, ended_seconds_ago=age, inside=inside
        ):
            self._record(key, seconds, cause)

    def _record(self, key: Key, seconds: float, cause: Cause) -> None:
        backend, model, num_ctx = key
        logger.info("model_loaded backend=%s model=%s seconds=%.2f", backend, model, seconds)
        try:
            with session():
                model_loads.record(backend, model, num_ctx=num_ctx, seconds=seconds, cause=cause)
        except DatabaseUnavailable as error:
            logger.warning("load_not_recorded model=%s error=%s", model, error)

    def _publish(self, backend: BackendAdapter) -> Sequence[ResidentModel]:
        """Publish what is in memory there, and return it."""
        try:
            residents = backend.resident_models()
        except LLMError:
            return ()
        if residents:  # A server that cannot list its models answers with an empty list, too.
            self._try_publish(backend.name, residents)
        return residents

    def _try_publish(self, backend: str, residents: Sequence[ResidentModel]) -> None:
        try:
            self.publish(backend, residents)
        except redis.RedisError as error:
            logger.warning("residents_not_published backend=%s error=%s", backend, error)

    def _learn_holds(
        self,
        spec: BackendSpec,
        model: str,
        before: Sequence[ResidentModel],
        after: Sequence[ResidentModel],
    ) -> None:
        """Whether loading ``model`` removed another that the server should hold beside it."""
        if len(before) >= (spec.max_resident_models or 0):
            return
        kept, now = {resident.name for resident in after}, utc_now()
        for old in before:
            if old.name not in kept and (old.expires_at is None or old.expires_at > now):
                size = _bytes_of({one.name: one for one in (*before, *after)}.values())
                most = self._most_bytes(spec.name)
                found = Holds(
                    len(after), model, old.name, together_bytes=size if size > most else None
                )
                logger.warning("holds_fewer_models backend=%s found=%s", spec.name, found)
                seconds = HOLDS_FOR_SECONDS_OF_THESE if found.together_bytes else HOLDS_FOR_SECONDS
                self._client.set(_holds_key(spec.name), json.dumps(asdict(found)), ex=seconds)
                self._holds.pop(spec.name, None)
                return

    def _most_bytes(self, backend: str) -> int:
        """The most that the server was seen to hold at once."""
        return int(self._client.hget(MOST_BYTES, backend) or 0)

    def _learn_default(self, key: Key, residents: Sequence[ResidentModel]) -> None:
        """A model just loaded without a context has the server's own: remember it."""
        backend, model, num_ctx = key
        for resident in residents:
            if not num_ctx and resident.name == model and resident.context_tokens:
                self._default_ctx[backend, model] = resident.context_tokens


def _bytes_of(residents: Iterable[ResidentModel]) -> int:
    """0 where the server does not tell the size of each."""
    sizes = [model.size_bytes for model in residents]
    return sum(size or 0 for size in sizes) if all(sizes) else 0


def _holds_key(backend: str) -> str:
    return f"kos:holds:{backend}"


def _loading_key(backend: str) -> str:
    return f"kos:loading:{backend}"
