"""What went wrong at the servers lately, and the limits that are held because of it.

Out of memory, or a request that waited behind others for its whole time, lowers a server's limit
at once, timeouts only as a run with no success in between.
The limit is halved, held, and then regained one step at a time: the first answer after a crash
proves little.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from llm.errors import QueueTimeout

_UNBOUNDED = 1_000_000
_TIMEOUTS = frozenset(
    {"timeout", "load_timeout", "first_token_timeout", "stall_timeout", "total_timeout"}
)
_OUT_OF_MEMORY = re.compile(
    r"out of (\w+ )?memory|insufficient memory|cannot allocate memory|\boom\b|"
    r"requires more (system )?memory|memory allocation failed",
    re.IGNORECASE,
)


class Trouble(StrEnum):
    OUT_OF_MEMORY = "out of memory"
    QUEUE = "queue"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class HoldConfig:
    """``calls_in_flight_seconds`` is how long after a hold began further trouble is put down to
    calls that were started under the old limit: it prolongs the hold and does not halve again."""

    timeouts_in_a_run: int = 3
    hold_seconds: float = 300.0
    regain_step_seconds: float = 60.0
    calls_in_flight_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Hold:
    """A limit lowered after trouble, kept until a time, then regained step by step."""

    limit: int
    since: datetime
    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class LimitHolds:
    """What went wrong lately, by backend. The empty one is a good start."""

    holds: Mapping[str, Hold] = field(default_factory=dict)
    timeouts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallEvent:
    """How one call ended; ``trouble`` is None for a whole answer."""

    backend: str
    at: datetime
    trouble: Trouble | None = None


def trouble_of(error_code: str | None, message: str | None = None) -> Trouble | None:
    """The trouble that a failed call tells of; None for failures that fewer calls would not cure.

    ``error_code`` is that of :mod:`llm.errors`. A connection that times out is left to the
    breaker: nobody was there to be overloaded.
    """
    if _OUT_OF_MEMORY.search(message or ""):
        return Trouble.OUT_OF_MEMORY
    if error_code == QueueTimeout.code:
        return Trouble.QUEUE
    return Trouble.TIMEOUT if error_code in _TIMEOUTS else None


def holds_after(
    events: Iterable[CallEvent],
    config: HoldConfig,
    *,
    limits: Mapping[str, int],
) -> LimitHolds:
    """The holds that follow from recent calls, which come oldest first.

    ``limits`` are the limits without holds, by backend; unknown backends count as limited to 1.
    """
    holds = LimitHolds()
    for event in events:
        if event.trouble is None:
            holds = observe_success(holds, event.backend)
            continue
        limit = min(
            limits.get(event.backend, 1),
            held_limit(holds.holds.get(event.backend), config, now=event.at),
        )
        holds = observe_trouble(
            holds, event.backend, event.trouble, config, limit=limit, now=event.at
        )
    return holds


def observe_trouble(
    holds: LimitHolds,
    backend: str,
    trouble: Trouble,
    config: HoldConfig,
    *,
    limit: int,
    now: datetime,
) -> LimitHolds:
    """Take note that a call at ``backend`` failed while ``limit`` was in force."""
    run = holds.timeouts.get(backend, 0) + (trouble is Trouble.TIMEOUT)
    if trouble is Trouble.TIMEOUT and run < config.timeouts_in_a_run:
        return replace(holds, timeouts={**holds.timeouts, backend: run})
    why = {
        Trouble.OUT_OF_MEMORY: "it ran out of memory",
        Trouble.QUEUE: "a request waited there behind others for its whole time",
        Trouble.TIMEOUT: f"{run} timeouts in a run",
    }[trouble]
    hold = _lowered(holds.holds.get(backend), why, config, limit=limit, now=now)
    return LimitHolds({**holds.holds, backend: hold}, {**holds.timeouts, backend: 0})


def observe_success(holds: LimitHolds, backend: str) -> LimitHolds:
    """A whole answer ends a run of timeouts. It does not lift a hold."""
    if not holds.timeouts.get(backend):
        return holds
    return replace(holds, timeouts={**holds.timeouts, backend: 0})


def held_limit(hold: Hold | None, config: HoldConfig, *, now: datetime) -> int:
    """What ``hold`` still allows at ``now``; without a hold, more than any server takes."""
    if hold is None:
        return _UNBOUNDED
    if now < hold.until:
        return hold.limit
    return hold.limit + 1 + int((now - hold.until).total_seconds() // config.regain_step_seconds)


def _lowered(
    earlier: Hold | None, why: str, config: HoldConfig, *, limit: int, now: datetime
) -> Hold:
    until = now + timedelta(seconds=config.hold_seconds)
    settling = timedelta(seconds=config.calls_in_flight_seconds)
    if earlier is not None and now < earlier.since + settling:
        return replace(earlier, until=until)
    lowered = max(1, limit // 2)
    return Hold(lowered, now, until, f"held at {lowered} after {why}")
