"""The engine: one thread that owns every MLX object.

HTTP code talks to it through ``submit``, ``cancel`` and ``unload``, which only put a command in
a queue, and reads ``view``, ``busy`` and ``progress_at``. Everything else runs on the thread: it
loads, admits, decodes one step on every active model in turn, and evicts.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

import mlx.core as mx

from llm.mlx_server import memory
from llm.mlx_server.decoders import Emission, SequentialDecoder
from llm.mlx_server.engine_view import EngineTotals, EngineView, ResidentView, TokenRate
from llm.mlx_server.errors import GenerationFailed, ServerError, Unavailable
from llm.mlx_server.job import EngineJob, FinishReason, Loaded, Mailbox
from llm.mlx_server.memory import MemoryUse
from llm.mlx_server.placement import Placement
from llm.mlx_server.residents import Residents, RunningModel
from llm.mlx_server.settings import ServerSettings
from llm.mlx_server.waiting_line import WaitingLine

logger = logging.getLogger(__name__)

IDLE_SECONDS = 0.25
VIEW_SECONDS = 0.05
FREEZE_POLL_SECONDS = 0.02
PIECE_SECONDS = 0.01
"""Tokens that arrive faster than this are sent together: no reader notices."""


class Engine:
    """Start it once. ``on_death`` is called from its thread if an exception ends the engine."""

    def __init__(
        self,
        settings: ServerSettings,
        loop: asyncio.AbstractEventLoop,
        *,
        on_death: Callable[[BaseException], None],
    ) -> None:
        self.view = EngineView()
        self._at_work = False
        self.progress_at = time.monotonic()
        self._limit_bytes = memory.choose_limit(settings.memory_limit_bytes)
        self._settings = settings
        self._on_death = on_death
        self._mailbox = Mailbox(loop)
        self._commands: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._stopping = False
        self._totals = EngineTotals()
        self._waiting = WaitingLine()
        self._residents = Residents()
        self._placement = Placement(
            settings,
            residents=self._residents,
            waiting=self._waiting,
            totals=self._totals,
            limit_bytes=self._limit_bytes,
            fail=self._fail,
            on_progress=self._progressed,
        )
        self._rate = TokenRate()
        self._last_token_at: float | None = None
        self._viewed_at = 0.0
        self._view_is_stale = False  # an end must be in the view before its caller sees it
        self._thread = threading.Thread(target=self._run, name="mlx-engine", daemon=True)

    # -- called from any thread ----------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def busy(self) -> bool:
        """Whether there is work, or a command that the thread has not seen yet."""
        return self._at_work or not self._commands.empty()

    def submit(self, job: EngineJob) -> None:
        self._commands.put(functools.partial(self._accept, job))

    def cancel(self, job: EngineJob) -> None:
        """Cancel a request. Its place is free after the current step."""
        job.cancelled = True
        self._commands.put(functools.partial(self._forget, job))

    def unload(self, name: str) -> None:
        """Drop a model once its present requests are served. A request that comes later sets a
        keep-alive of its own."""
        self._commands.put(functools.partial(self._placement.expire_now, name))

    def stop(self, *, timeout_seconds: float) -> None:
        """Stop the thread; requests that are still in it fail as unavailable."""
        self._stopping = True
        self._commands.put(_nothing)
        self._thread.join(timeout_seconds)

    # -- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            memory.bound_buffer_cache(self._limit_bytes)
            while not self._stopping:
                self._turn()
        except BaseException as error:
            logger.exception("engine_died")
            self._fail_everything(GenerationFailed(f"the engine died: {error}"))
            self._on_death(error)
        else:
            self._fail_everything(Unavailable("the server is stopping"))
            self._drop_models()

    def _turn(self) -> None:
        self._receive()
        self._freeze_for_test()
        now = time.monotonic()
        self._placement.expire(now=now)
        self._placement.place(now=now)
        self._admit(now)
        if self._placement.load_a_chunk():
            self._progressed()
        for resident in self._residents:
            if resident.active:
                self._step(resident)
        if self._view_is_stale or time.monotonic() - self._viewed_at >= VIEW_SECONDS:
            self._publish()
        self._mailbox.flush()

    def _receive(self) -> None:
        """Run the queued commands; with no work, wait for one."""
        if not self._working():
            self._at_work = False
            self._progressed()
            self._publish()
            try:
                command = self._commands.get(timeout=IDLE_SECONDS)
            except Empty:
                return
            self._progressed()
            self._at_work = True
            command()
        while not self._commands.empty():
            self._commands.get()()

    def _progressed(self) -> None:
        self.progress_at = time.monotonic()

    def _working(self) -> bool:
        return bool(self._residents.active or len(self._waiting) or self._placement.loading)

    def _freeze_for_test(self) -> None:
        file = self._settings.test_freeze_file
        while file is not None and file.exists() and not self._stopping:
            time.sleep(FREEZE_POLL_SECONDS)

    # -- commands ------------------------------------------------------------------------------

    def _accept(self, job: EngineJob) -> None:
        if not job.cancelled:
            self._waiting.add(job)

    def _forget(self, job: EngineJob) -> None:
        self._waiting.discard(job)
        if (resident := self._residents.get(job.model.name)) is not None:
            resident.forget(job)

    # -- decoding ------------------------------------------------------------------------------

    def _admit(self, now: float) -> None:
        if not len(self._waiting):
            return
        for resident in self._residents:
            self._answer_loads(resident, now=now)
        while self._residents.active < self._settings.max_concurrent:
            open_models = {r.name for r in self._residents if self._is_open(r)}
            job = self._waiting.head(open_models)
            if job is None or not self._placement.fits(job, now=now):
                return
            self._waiting.discard(job)
            self._begin(job, now=now)

    def _answer_loads(self, resident: RunningModel, *, now: float) -> None:
        for job in self._waiting.take_loads(resident.name):
            resident.last_used_at = now
            resident.keep_alive_seconds = job.keep_alive_seconds
            self._mailbox.post(job.channel, Loaded(job.load_seconds))
            self._view_is_stale = True

    def _is_open(self, resident: RunningModel) -> bool:
        full = len(resident.active) >= resident.decoder.capacity
        return not full and resident.name not in self._placement.draining

    def _begin(self, job: EngineJob, *, now: float) -> None:
        resident = self._residents.get(job.model.name)
        assert resident is not None
        resident.keep_alive_seconds = job.keep_alive_seconds
        try:
            resident.admit(job, now=now)
        except Exception as error:
            logger.exception("request_not_admitted model=%s", job.model.name)
            self._fail([job], GenerationFailed(f"the request could not start: {error}"))

    def _step(self, resident: RunningModel) -> None:
        try:
            emissions = resident.decoder.step()
        except Exception as error:
            logger.exception("batch_broke model=%s", resident.name)
            self._totals.broken_batches += 1
            self._fail(tuple(resident.active), GenerationFailed(f"generation failed: {error}"))
            resident.rebuild()
            memory.give_back()
            return
        self._progressed()
        now = time.monotonic()
        for emission in emissions:
            self._deliver(resident, emission, now=now)
        if emissions:
            self._last_token_at = time.time()
        resident.last_used_at = now

    def _deliver(self, resident: RunningModel, emission: Emission, *, now: float) -> None:
        job, token, finish = emission
        text = job.text
        assert text is not None
        if not job.first_token_at:
            job.first_token_at = now
            assert job.prompt is not None
            self._totals.prefilled_tokens += len(job.prompt.tokens) - job.cached_tokens
        if token is not None:
            job.completion_tokens += 1
            text.add(token)
        if finish is None and job.eager and (text.may_stop or now >= job.next_piece_at):
            piece = text.take()
            if piece.text or piece.thinking:
                self._mailbox.post(job.channel, piece)
                job.next_piece_at = now + PIECE_SECONDS
            finish = "stop" if text.stopped else None
        if finish is not None:
            self._finish(resident, job, finish, now=now)

    def _finish(
        self, resident: RunningModel, job: EngineJob, reason: FinishReason, *, now: float
    ) -> None:
        resident.forget(job)
        self._view_is_stale = True
        self._totals.generated_tokens += job.completion_tokens
        if job.grammar is not None and job.grammar.failure:
            failure = GenerationFailed(f"structured output failed: {job.grammar.failure}")
            self._mailbox.post(job.channel, failure)
        else:
            self._mailbox.post(job.channel, job.finished(reason, now=now))

    # -- ends ----------------------------------------------------------------------------------

    def _fail(self, jobs: Sequence[EngineJob], error: ServerError) -> None:
        self._view_is_stale = True
        for job in jobs:
            self._mailbox.post(job.channel, error)

    def _fail_everything(self, error: ServerError) -> None:
        jobs = self._waiting.take_all()
        for resident in self._residents:
            jobs.extend(resident.active)
        self._fail(jobs, error)
        self._mailbox.flush()

    def _drop_models(self) -> None:
        self._placement.drop_everything()
        mx.clear_streams()

    # -- publishing the view -------------------------------------------------------------------

    def _publish(self) -> None:
        self._viewed_at = time.monotonic()
        self._view_is_stale = False
        use = memory.measure(
            reserved_bytes=self._placement.reserved_bytes, limit_bytes=self._limit_bytes
        )
        self._relieve(use)
        counts = self._waiting.counts()
        running = sum(job.completion_tokens for r in self._residents for job in r.active)
        total = self._totals.generated_tokens + running
        self.view = EngineView(
            residents=tuple(_view(r, waiting=counts.get(r.name, 0)) for r in self._residents),
            loading=self._placement.loading,
            active=self._residents.active,
            waiting=sum(counts.values()),
            tokens_per_second=self._rate.note(total),
            last_token_at=self._last_token_at,
            totals=dataclasses.replace(self._totals, generated_tokens=total),
            memory=use,
        )

    def _relieve(self, use: MemoryUse) -> None:
        """Drop prefix caches as memory gets short, and log when that changes."""
        before = self.view.memory.pressure if self.view.memory else "ok"
        if use.pressure == before:
            return
        level = logging.INFO if use.pressure == "ok" else logging.WARNING
        logger.log(
            level, "memory_%s share=%.2f limit_bytes=%d", use.pressure, use.share, use.limit_bytes
        )
        if use.pressure == "critical":
            for resident in self._residents:
                resident.decoder.forget_prefixes()
        if use.pressure != "ok":
            memory.give_back()


def _nothing() -> None:
    """A command that only wakes the thread."""


def _view(resident: RunningModel, *, waiting: int) -> ResidentView:
    expires_at = resident.expires_at
    return ResidentView(
        name=resident.name,
        active=len(resident.active),
        waiting=waiting,
        size_bytes=resident.size_bytes,
        prefix_cache_bytes=resident.decoder.prefix_bytes,
        batched=not isinstance(resident.decoder, SequentialDecoder),
        expires_in_seconds=None if expires_at is None else expires_at - time.monotonic(),
    )
