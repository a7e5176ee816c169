"""Load times and token rates of every model, learned from past attempts once a minute."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jobs.policy.estimation import AttemptSample, Estimates, Figures, learn
from jobs.process.clock import utc_now
from llm.scanner import Scanner
from llm.types import BackendSpec, Category, Scan
from models import attempt, request
from models.attempt import MeasuredAttempt
from models.database import session
from models.request import MeasuredRequest

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 60.0
FEWEST_TOKENS = 8
"""A shorter answer is too short to measure a rate."""
FEWEST_PROMPT_TOKENS = 200
"""A shorter prompt is too short to measure the time per token."""


@dataclass(frozen=True, slots=True)
class DeadlineFigures:
    """Measured values that deadlines are computed from; None until an attempt measured one."""

    load_seconds: float | None = None
    first_token_seconds: float | None = None
    tokens_per_second: float | None = None
    size_bytes: int | None = None
    prefill_seconds_per_token: float | None = None
    service_seconds: float | None = None


class LearnedFigures:
    """Shared by the threads of a process."""

    def __init__(
        self,
        specs: Sequence[BackendSpec],
        scanner: Scanner,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kinds = {spec.name: spec.kind for spec in specs}
        self._scanner = scanner
        self._clock = clock
        self._lock = threading.Lock()
        self._learned = Estimates(kinds=self._kinds)
        self._sizes: dict[tuple[str, str], int] = {}
        self._read_at = float("-inf")

    def figures(self, backend: str, model: str) -> Figures:
        """Means and quantiles for plans and ETAs; a prior where nothing was learned."""
        self._refresh_when_old()
        return self._learned.figures(backend, model)

    def for_deadlines(self, backend: str, model: str) -> DeadlineFigures:
        """High quantiles, and only what was measured."""
        figures = self.figures(backend, model)
        load, first, rate = (
            figures.load_seconds,
            figures.first_token_seconds,
            figures.tokens_per_second,
        )
        prefill, service = figures.prefill_seconds_per_token, figures.service_seconds
        return DeadlineFigures(
            load_seconds=load.p95 if load.samples else None,
            first_token_seconds=first.p95 if first.samples else None,
            tokens_per_second=rate.p50 if rate.samples else None,
            size_bytes=self._sizes.get((backend, model)),
            prefill_seconds_per_token=prefill.p95 if prefill and prefill.samples else None,
            service_seconds=service.p50 if service.samples else None,
        )

    def _refresh_when_old(self) -> None:
        """The first reader waits for the figures; later ones go on with the old ones meanwhile."""
        never_read = self._read_at == float("-inf")
        if self._clock() - self._read_at < REFRESH_SECONDS:
            return
        # Old figures are better than a thread that waits for Postgres before each call.
        if not self._lock.acquire(blocking=never_read):
            return
        try:
            if self._clock() - self._read_at >= REFRESH_SECONDS:
                self._refresh(self._scanner.last())
                self._read_at = self._clock()
        finally:
            self._lock.release()

    def _refresh(self, scan: Scan | None) -> None:
        models = [
            (server.backend, model.info)
            for server in (scan.servers if scan else ())
            for model in server.models or ()
        ]
        with session():
            samples = [sample_of(row) for row in attempt.samples()]
            samples += [sample_of_request(row) for row in request.samples()]
        self._sizes = {(b, info.name): info.size_bytes for b, info in models if info.size_bytes}
        self._learned = learn(
            samples,
            now=utc_now(),
            kinds=self._kinds,
            parameters={(b, info.name): info.parameters for b, info in models if info.parameters},
        )


def sample_of(row: MeasuredAttempt) -> AttemptSample:
    """The measurements of one attempt. Its duration includes the load; its time to the first token
    does not.

    An attempt without a whole answer teaches its load only.
    """
    whole = row.outcome == "completed"
    load = row.load_seconds or 0.0
    service = row.duration_seconds - load if whole and row.duration_seconds else None
    return AttemptSample(
        backend=row.backend,
        model=row.model,
        at=row.finished_at,
        category=Category(row.category) if row.category in set(Category) else None,
        load_seconds=row.load_seconds,
        first_token_seconds=row.first_token_seconds,
        tokens_per_second=_rate(row, service),
        service_seconds=service,
        prefill_seconds_per_token=_prefill(row),
    )


def sample_of_request(row: MeasuredRequest) -> AttemptSample:
    """What a person's request teaches: the model's load and its speed, not how long tasks take.

    An answer that came in one piece has no time of its own for decoding.
    """
    tokens = row.completion_tokens or 0
    streamed = row.decode_seconds > row.first_token_seconds and tokens >= FEWEST_TOKENS
    return AttemptSample(
        backend=row.backend,
        model=row.model,
        at=row.ended_at,
        load_seconds=row.load_seconds or None,
        first_token_seconds=row.first_token_seconds if streamed else None,
        tokens_per_second=(tokens - 1) / row.decode_seconds if streamed else None,
    )


def _rate(row: MeasuredAttempt, service: float | None) -> float | None:
    tokens, first = row.completion_tokens or 0, row.first_token_seconds
    if service is None or tokens < FEWEST_TOKENS:
        return None
    if row.decode_seconds:
        return tokens / row.decode_seconds
    if first is None or service <= first:
        return None
    return (tokens - 1) / (service - first)


def _prefill(row: MeasuredAttempt) -> float | None:
    """Seconds of one prompt token that was read; those in the server's cache cost nothing."""
    tokens = (row.prompt_tokens or 0) - (row.cached_prompt_tokens or 0)
    seconds = row.prefill_seconds or row.first_token_seconds
    if seconds is None or tokens < FEWEST_PROMPT_TOKENS:
        return None
    return seconds / tokens
