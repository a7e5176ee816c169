"""Which models are in memory: expiry, eviction, and one load at a time. Engine thread only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from llm.mlx_server import memory
from llm.mlx_server.catalog import ModelEntry
from llm.mlx_server.decoders import DecoderOptions
from llm.mlx_server.engine_view import EngineTotals
from llm.mlx_server.errors import GenerationFailed, NeverFits, ServerError, Unavailable
from llm.mlx_server.job import EngineJob
from llm.mlx_server.loading import LoadedModel, load_in_chunks
from llm.mlx_server.residents import Residents, RunningModel
from llm.mlx_server.scheduling import Drain, Load, Refuse, Room, decide_load
from llm.mlx_server.settings import ServerSettings
from llm.mlx_server.stored_prefixes import PrefixStore
from llm.mlx_server.waiting_line import WaitingLine

logger = logging.getLogger(__name__)

RESERVED_CONTEXT_TOKENS = 2048


@dataclass(slots=True, kw_only=True)
class _LoadInProgress:
    entry: ModelEntry
    chunks: Generator[None, None, LoadedModel]
    reserved_bytes: int
    keep_alive_seconds: float | None
    began_at: float


class Placement:
    """Carries out the decisions of ``scheduling.decide_load``. ``draining`` names the models that
    accept no more requests, ``loading`` the one being loaded."""

    def __init__(
        self,
        settings: ServerSettings,
        *,
        residents: Residents,
        waiting: WaitingLine,
        totals: EngineTotals,
        limit_bytes: int,
        fail: Callable[[Sequence[EngineJob], ServerError], None],
        on_progress: Callable[[], None],
    ) -> None:
        self.draining: tuple[str, ...] = ()
        self._settings = settings
        self._residents = residents
        self._waiting = waiting
        self._totals = totals
        self._limit_bytes = limit_bytes
        self._fail = fail
        self._on_progress = on_progress
        self._load: _LoadInProgress | None = None
        self._stored = _store(settings)

    @property
    def loading(self) -> str | None:
        return self._load.entry.name if self._load else None

    @property
    def reserved_bytes(self) -> int:
        """The memory reserved for models, their answers and the model being loaded."""
        return self._residents.reserved_bytes + (self._load.reserved_bytes if self._load else 0)

    def expire(self, *, now: float) -> None:
        """Drop models whose keep-alive has passed."""
        for name in self._residents.expired(now=now):
            if not self._waiting.has(name):
                self._evict(name, now=now)

    def expire_now(self, name: str) -> None:
        """End the keep-alive of ``name``: it is dropped once its present requests have ended."""
        self._waiting.keep_no_longer(name)
        if self._load is not None and self._load.entry.name == name:
            self._load.keep_alive_seconds = 0.0
        if (resident := self._residents.get(name)) is not None:
            resident.keep_alive_seconds = 0.0

    def place(self, *, now: float) -> None:
        """Start a load, drain busy models, or refuse a model that can never fit."""
        self.draining = ()
        if self._load is not None or not len(self._waiting):
            return
        needed_models = list(
            self._waiting.needed_models(self._residents.names, need_bytes=_bytes_to_serve)
        )
        views = self._residents.views(self._waiting.counts())
        match decide_load(views, needed_models, room=self._room(), now=now):
            case Load(name, evict):
                for victim in evict:
                    self._evict(victim, now=now)
                self._begin_load(name, now=now)
            case Drain(victims, _):
                self.draining = victims
            case Refuse(name, reason):
                self._fail(self._waiting.take_all(name), NeverFits(reason))

    def load_a_chunk(self) -> bool:
        """Continue the load; False when there is none."""
        load = self._load
        if load is None:
            return False
        try:
            next(load.chunks)
        except StopIteration as done:
            self._load = None
            self._arrived(load, done.value)
        except Exception as error:
            logger.exception("model_load_failed model=%s", load.entry.name)
            self._load = None
            self._totals.load_failures += 1
            failure = GenerationFailed(f"model {load.entry.name!r} failed to load: {error}")
            self._fail(self._waiting.take_all(load.entry.name), failure)
            memory.give_back()
        return True

    def fits(self, job: EngineJob, *, now: float) -> bool:
        """Whether there is memory for an answer.

        It waits for running requests and for a load; otherwise idle models and its own model's
        cached prefixes are dropped for it. A request whose answer and model alone exceed the limit
        is refused for good.
        """
        resident = self._residents.get(job.model.name)
        assert resident is not None
        if resident.reserved_bytes + job.reserve_bytes > self._limit_bytes:
            self._refuse(job, NeverFits(self._too_long(job)))
            return False
        if job.reserve_bytes <= self._free_bytes:
            return True
        if self._residents.active or self._load is not None:
            return False
        self._clear_for(resident, now=now)
        if job.reserve_bytes <= self._free_bytes:
            return True
        reason = f"the answer may need {job.reserve_bytes} bytes; {self._free_bytes} are free"
        wait = self._settings.retry_after_seconds
        self._refuse(job, Unavailable(reason, retry_after_seconds=wait))
        return False

    def drop_everything(self) -> None:
        self._load = None
        for resident in self._residents:
            self._residents.evict(resident.name)
        memory.give_back()
        if self._stored is not None:
            self._stored.close()

    @property
    def _free_bytes(self) -> int:
        return self._limit_bytes - self.reserved_bytes

    def _clear_for(self, resident: RunningModel, *, now: float) -> None:
        for other in self._residents:
            if other is not resident and not self._waiting.has(other.name):
                self._evict(other.name, now=now)
        resident.decoder.forget_prefixes()

    def _refuse(self, job: EngineJob, error: ServerError) -> None:
        self._waiting.discard(job)
        self._fail([job], error)

    def _too_long(self, job: EngineJob) -> str:
        return (
            f"model {job.model.name!r} has no room for an answer that may need "
            f"{job.reserve_bytes} bytes below the memory limit of {self._limit_bytes} bytes "
            "(MLX_MEMORY_LIMIT_BYTES)"
        )

    def _room(self) -> Room:
        return Room(
            max_models=self._settings.max_cached_models,
            free_bytes=self._free_bytes,
            limit_bytes=self._limit_bytes,
            fairness_seconds=self._settings.fairness_seconds,
        )

    def _evict(self, name: str, *, now: float) -> None:
        self._residents.evict(name)
        self._waiting.evicted(name, now=now)
        self._totals.evictions += 1
        logger.info("model_evicted model=%s", name)

    def _begin_load(self, name: str, *, now: float) -> None:
        job = self._waiting.head({name})
        assert job is not None
        chunks = load_in_chunks(
            job.model.folder,
            chunk_bytes=self._settings.load_chunk_bytes,
            float32=job.model.float32,
        )
        self._load = _LoadInProgress(
            entry=job.model,
            chunks=chunks,
            reserved_bytes=_bytes_to_serve(job),
            keep_alive_seconds=self._settings.keep_alive_seconds,
            began_at=now,
        )
        logger.info(
            "model_loading model=%s bytes=%d held_as=%s",
            name,
            job.model.size_bytes,
            _held_as(job.model),
        )

    def _arrived(self, load: _LoadInProgress, loaded: LoadedModel) -> None:
        stored = None
        if self._stored is not None:
            stored = self._stored.of_model(load.entry.folder, held_as=_held_as(load.entry))
        options = DecoderOptions(
            capacity=self._settings.max_concurrent,
            prefill_step_tokens=memory.prefill_step(self._settings.prefill_step_tokens),
            prefix_cache_bytes=self._settings.prefix_cache_bytes,
            vocabulary=load.entry.vocabulary,
            on_progress=self._on_progress,
            stored_prefixes=stored,
        )
        resident = self._residents.add(load.entry.name, loaded, options)
        resident.keep_alive_seconds = load.keep_alive_seconds
        now = time.monotonic()
        self._waiting.loaded(load.entry.name, seconds=now - load.began_at, now=now)
        self._totals.loads += 1
        logger.info("model_loaded model=%s seconds=%.3f", load.entry.name, now - load.began_at)


def _store(settings: ServerSettings) -> PrefixStore | None:
    folder = settings.prefix_cache_dir
    return PrefixStore(folder, settings.prefix_cache_dir_bytes) if folder is not None else None


def _held_as(model: ModelEntry) -> str:
    return "float32" if model.float32 else "stored"


def _bytes_to_serve(job: EngineJob) -> int:
    """A model's weights and memory for one answer of ordinary length."""
    tokens = min(job.model.context_tokens, RESERVED_CONTEXT_TOKENS)
    return job.model.size_bytes + tokens * job.model.kv_bytes_per_token
