"""A circuit breaker as values: when to stop calling a server, and when one canary may test it
again.

There is one state per backend, and one per (backend, model) for failed loads. The module is pure:
the caller passes the time and stores the state (as `dumps` writes it). Recovery needs a one-token
generation, because a server that answers HTTP may still be unable to generate.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from llm import errors


class BreakerPhase(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """``threshold`` consecutive failures open the breaker; each consecutive trip doubles the
    wait."""

    threshold: int = 3
    cooldown_seconds: float = 10.0
    max_cooldown_seconds: float = 300.0
    probe_seconds: float = 60.0


BACKEND_RULES = BreakerRules()
MODEL_RULES = BreakerRules(threshold=2, cooldown_seconds=60.0, max_cooldown_seconds=1800.0)


@dataclass(frozen=True, slots=True)
class BreakerState:
    """``retry_at``: when an open breaker may send its canary, or when a running canary counts as
    lost."""

    phase: BreakerPhase = BreakerPhase.CLOSED
    failures: int = 0
    trips: int = 0
    opened_at: datetime | None = None
    retry_at: datetime | None = None
    reason: str | None = None


CLOSED = BreakerState()


def allows(state: BreakerState, now: datetime) -> bool:
    """May ordinary work be sent? Only when closed; an open breaker needs a successful canary
    first."""
    del now
    return state.phase is BreakerPhase.CLOSED


def is_probe_due(state: BreakerState, now: datetime) -> bool:
    """Is it time for a canary? Also true when an earlier one never reported."""
    return state.phase is not BreakerPhase.CLOSED and (
        state.retry_at is None or now >= state.retry_at
    )


def on_probe(
    state: BreakerState, now: datetime, *, rules: BreakerRules = BACKEND_RULES
) -> BreakerState:
    """Record that a canary starts. No other may start before ``retry_at``."""
    return replace(
        state,
        phase=BreakerPhase.HALF_OPEN,
        retry_at=now + timedelta(seconds=rules.probe_seconds),
    )


def on_success(state: BreakerState) -> BreakerState:
    """Record a successful generation or canary.

    A generation that began before the trip proves nothing about an open breaker, so only a
    half-open or closed one closes.
    """
    if state.phase is BreakerPhase.OPEN:
        return state
    return CLOSED


def on_failure(
    state: BreakerState,
    now: datetime,
    *,
    rules: BreakerRules = BACKEND_RULES,
    reason: str | None = None,
    retry_after_seconds: float | None = None,
) -> BreakerState:
    """Record a failure that counts. If the server sent ``retry_after_seconds``, the breaker opens
    at once for that long."""
    failures = state.failures + 1
    if state.phase is BreakerPhase.OPEN:
        return replace(state, failures=failures)
    if (
        state.phase is BreakerPhase.CLOSED
        and retry_after_seconds is None
        and failures < rules.threshold
    ):
        return replace(state, failures=failures, reason=reason)
    wait = _cooldown(rules, state.trips, retry_after_seconds)
    return BreakerState(
        phase=BreakerPhase.OPEN,
        failures=failures,
        trips=state.trips + 1,
        opened_at=state.opened_at or now,
        retry_at=now + timedelta(seconds=wait),
        reason=reason,
    )


def counts_against_backend(error: errors.LLMError) -> bool:
    """Is this failure evidence against the whole server? Bad or long answers, unsupported features
    and queues that we caused are not."""
    if isinstance(error, errors.QueueTimeout):
        return False
    served = isinstance(error, errors.TransientError | errors.NotAuthorized)
    return served and error.concerns == "server"


def counts_against_model(error: errors.LLMError) -> bool:
    """Is this failure evidence that the server cannot load this model?"""
    return isinstance(error, errors.LoadFailed | errors.LoadTimeout)


def dumps(state: BreakerState) -> str:
    fields = asdict(state)
    for name in ("opened_at", "retry_at"):
        fields[name] = fields[name] and fields[name].isoformat()
    return json.dumps(fields, separators=(",", ":"))


def loads(text: str) -> BreakerState:
    """Read what `dumps` wrote; raises ValueError for anything else."""
    try:
        fields: dict[str, Any] = json.loads(text)
        return BreakerState(
            phase=BreakerPhase(fields["phase"]),
            failures=int(fields["failures"]),
            trips=int(fields["trips"]),
            opened_at=_moment(fields["opened_at"]),
            retry_at=_moment(fields["retry_at"]),
            reason=fields["reason"],
        )
    except (KeyError, TypeError) as exc:
        raise ValueError(f"not a breaker state: {exc!r}") from exc


def _cooldown(rules: BreakerRules, trips: int, retry_after: float | None) -> float:
    own = min(rules.cooldown_seconds * 2.0 ** min(trips, 30), rules.max_cooldown_seconds)
    if retry_after is None:
        return own
    return float(min(max(retry_after, 0.0), rules.max_cooldown_seconds))


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
