"""What becomes of a task after an attempt: complete, retry at a time, or fail.

The row is the only retry authority, and this is its rule book. Pure: the time and the jitter are
arguments.

::

    what happened                         what follows                           spends
    answer accepted                       complete                               -
    answer at fault (echo, blank, ...)    soon, elsewhere or a stronger model    yes
    answer cut by its token limit         soon, the same model                   yes
    overloaded, another place is free     soon, elsewhere                        no
    overloaded                            when the server said, else back-off    no
    timeout that our own queue explains   soon elsewhere, else back-off          no
    backend unreachable, another is up    soon, elsewhere                        yes
    backend unreachable, all are down     wait for one to come back              no
    timeout, broken stream, server fault  back-off; elsewhere from the second    yes
    model cannot be loaded                soon, elsewhere                        yes
    model is gone, or cannot chat         rescan, then soon, elsewhere           no
    not authorized, schema unsupported    elsewhere, else back-off               yes
    prompt too long, bad request          soon, elsewhere; else fail             yes
    cancelled by drain or lost lease      at once                                no
    gave way to a person's request        at once                                no
    our own bug                           one retry, then fail                   yes

A worker that died tells nothing here: recovery takes its row back (``models.orphans``). A retry
after an answer that was cut gets more tokens, for the ledger tells of it (``prompt_size``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.policy.validation.types import Verdict
from llm.errors import (
    BackendUnreachable,
    BadAnswer,
    BadRequest,
    CallCancelled,
    ConnectTimeout,
    FirstTokenTimeout,
    LLMError,
    LoadFailed,
    ModelNotFound,
    NotAuthorized,
    Overloaded,
    PromptTooLong,
    QueueTimeout,
    SchemaUnsupported,
    StallTimeout,
    TransientError,
)


@dataclass(frozen=True, slots=True)
class RetryConfig:
    """Bounds of the retry policy.

    ``base_seconds`` is the first back-off (setting ``SMART_WORKER_RETRY_DELAY_SEC``), doubled
    with every spent attempt up to ``cap_seconds``; jitter adds at most ``spread`` of the delay.
    ``soon_seconds`` is the delay where another place or model takes over, ``down_seconds`` the
    pause between looks when every backend is down.
    """

    base_seconds: float = 90.0
    factor: float = 2.0
    cap_seconds: float = 1800.0
    spread: float = 0.25
    soon_seconds: float = 1.0
    down_seconds: float = 10.0
    longest_retry_after_seconds: float = 600.0
    max_attempts: int = 3


@dataclass(frozen=True, slots=True)
class AttemptEvent:
    """How one attempt ended: either ``verdict`` or ``error`` tells it.

    ``attempt_count`` is the number of attempts spent before this one. ``failover`` says that
    another backend is up that could take the task. An ``error`` outside the tree of
    ``llm.errors`` is a bug of ours.
    """

    verdict: Verdict | None = None
    error: Exception | None = None
    attempt_count: int = 0
    backend: str | None = None
    model: str | None = None
    failover: bool = False


@dataclass(frozen=True, slots=True)
class Complete:
    score: float


@dataclass(frozen=True, slots=True)
class Retry:
    """Back to pending until ``at``.

    ``avoid`` is the (backend, model) that failed; ``stronger`` asks for a stronger model,
    ``rescan`` for a fresh scan of the backends.
    """

    at: datetime
    reason: str
    code: str
    avoid: tuple[str, str] | None = None
    stronger: bool = False
    spends_attempt: bool = True
    rescan: bool = False


@dataclass(frozen=True, slots=True)
class Fail:
    reason: str
    code: str


Outcome = Complete | Retry | Fail


@dataclass(frozen=True, slots=True)
class _Proposal:
    """A decision before time and attempt bounds are applied."""

    code: str
    reason: str
    delay_seconds: float
    spends: bool = True
    avoid: bool = False
    stronger: bool = False
    rescan: bool = False


def decide(event: AttemptEvent, *, config: RetryConfig, now: datetime, jitter: float) -> Outcome:
    """The outcome of one attempt. ``jitter`` is a number from 0 to 1; it only ever adds delay."""
    if event.verdict is not None and event.verdict.ok:
        return Complete(event.verdict.score)
    if event.error is None and event.verdict is None:
        raise ValueError("an attempt ends with a verdict or an error")
    if isinstance(event.error, BadRequest | PromptTooLong) and not event.failover:
        return Fail(f"refused, and no other backend can take it: {event.error}", event.error.code)
    if event.error is not None and _is_bug(event.error) and event.attempt_count >= 1:
        return Fail(f"failed twice by a fault of the worker: {_message(event.error)}", "poisoned")
    answer = _answer(event, config)
    if answer.spends and event.attempt_count + 1 >= config.max_attempts:
        tries = event.attempt_count + 1
        return Fail(f"gave up after {tries} attempts; the last: {answer.reason}", answer.code)
    return _retry(answer, event, config=config, now=now, jitter=jitter)


def backoff_seconds(attempt_count: int, config: RetryConfig) -> float:
    """The delay after ``attempt_count`` spent attempts and one more, before jitter."""
    # Bounded exponent: a float overflows long before a row stops counting.
    grown = config.base_seconds * config.factor ** min(attempt_count, 64)
    return min(config.cap_seconds, grown)


def _answer(event: AttemptEvent, config: RetryConfig) -> _Proposal:
    if event.error is None:
        return _rejected(event, config)
    if isinstance(event.error, CallCancelled):
        reason = f"interrupted: {_message(event.error)}"
        return _Proposal("interrupted", reason, 0.0, spends=False)
    if isinstance(event.error, BadAnswer):
        return _bad_answer(event, event.error.code, _message(event.error), config)
    if isinstance(event.error, LLMError) and not _is_bug(event.error):
        return _failed_call(event, event.error, config)
    return _Proposal(
        "poisoned", f"a fault of the worker: {_message(event.error)}", config.soon_seconds
    )


def _rejected(event: AttemptEvent, config: RetryConfig) -> _Proposal:
    verdict = event.verdict
    assert verdict is not None
    reason = f"answer rejected ({verdict.score:.2f}): {verdict.reason}"
    return _bad_answer(event, verdict.code or "rejected", reason, config)


def _bad_answer(event: AttemptEvent, code: str, reason: str, config: RetryConfig) -> _Proposal:
    second_fault = event.attempt_count >= 1
    cut_short = code == "truncated"
    return _Proposal(
        code,
        reason,
        backoff_seconds(event.attempt_count - 1, config) if second_fault else config.soon_seconds,
        avoid=not cut_short,
        stronger=not cut_short and (second_fault or not event.failover),
    )


def _failed_call(event: AttemptEvent, error: LLMError, config: RetryConfig) -> _Proposal:
    backoff = backoff_seconds(event.attempt_count, config)
    moved = config.soon_seconds if event.failover else backoff
    message = _message(error)
    if isinstance(error, Overloaded):
        wait = config.soon_seconds if event.failover else _overload_seconds(error, config)
        return _Proposal(error.code, message, wait, spends=False, avoid=event.failover)
    if isinstance(error, QueueTimeout):
        return _Proposal(error.code, message, moved, spends=False)
    if isinstance(error, BackendUnreachable | ConnectTimeout):
        if event.failover:
            return _Proposal(error.code, message, config.soon_seconds, avoid=True)
        waiting = f"{message}; no other backend can take it now, the task waits"
        return _Proposal(error.code, waiting, config.down_seconds, spends=False)
    if isinstance(error, ModelNotFound):
        # The scan was wrong, not the task. The rescan may take a moment.
        wait = config.soon_seconds if event.failover else config.down_seconds
        return _Proposal(error.code, message, wait, spends=False, avoid=True, rescan=True)
    if isinstance(error, BadRequest | PromptTooLong):
        return _Proposal(error.code, message, config.soon_seconds, avoid=True)
    if isinstance(error, LoadFailed | NotAuthorized | SchemaUnsupported):
        return _Proposal(error.code, message, moved, avoid=True)
    if isinstance(error, FirstTokenTimeout | StallTimeout) and event.failover:
        # A server that stands still would take the next attempt's half minute as well.
        return _Proposal(error.code, message, config.soon_seconds, avoid=True)
    if isinstance(error, TransientError):
        return _Proposal(error.code, message, backoff, avoid=event.attempt_count >= 1)
    return _Proposal(error.code, message, backoff, avoid=True)


def _overload_seconds(error: Overloaded, config: RetryConfig) -> float:
    seconds = error.retry_after_seconds
    if seconds is None:
        return config.base_seconds
    return max(0.0, min(seconds, config.longest_retry_after_seconds))


def _retry(
    answer: _Proposal, event: AttemptEvent, *, config: RetryConfig, now: datetime, jitter: float
) -> Retry:
    added = 1 + config.spread * min(1.0, max(0.0, jitter))
    here = (event.backend, event.model) if event.backend and event.model else None
    return Retry(
        at=now + timedelta(seconds=answer.delay_seconds * added),
        reason=answer.reason,
        code=answer.code,
        avoid=here if answer.avoid else None,
        stronger=answer.stronger,
        spends_attempt=answer.spends,
        rescan=answer.rescan,
    )


def _is_bug(error: Exception) -> bool:
    # PoisonedCall, and whatever is no error of a model call at all.
    return not isinstance(error, LLMError) or error.code == "poisoned"


def _message(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    place = getattr(error, "backend", None)
    return f"{text} (backend {place})" if place and place not in text else text
