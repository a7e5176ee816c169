"""Finds how many requests a server should run at once: the knee of its throughput.

More at once is faster only up to a point: beyond it a server pages, recomputes or throttles, and
8 slots may give fewer tokens a second than 4. Nobody tells where the point is, and it moves with
the model, so it is measured: the limit in force is the *base*; now and then a neighbouring level
is tried for a few windows and compared with the windows of the base just before.

- Up when the neighbour gives clearly more (``gain``); down when it gives hardly less (``loss``):
  the same tokens with fewer at once are sooner answers. ``gain`` is larger than ``loss``, so the
  limit has no reason to swing.
- A comparison ends as soon as the difference stands out of the noise of both, or after
  ``most_windows``. Neighbours are compared within minutes of each other: a slow drift of the
  server cancels out.
- After neighbours on both sides lost, the next trial waits, each time twice as long. A rate that
  leaves its band, or another model, makes it curious again.
- A window counts only if the level was used: an idle server teaches nothing.

Pure: a state and a window go in, a state comes out, and it says why.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

LEVELS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128)


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """``gain`` and ``loss`` are fractions of the base's rate. ``certainty`` is in standard errors.

    ``used`` is the share of a level that must be in flight for a window to count. ``drift`` is the
    change of the base's rate that ends a pause. Windows are those of the caller, commonly 15 s.
    """

    gain: float = 0.06
    loss: float = 0.02
    certainty: float = 1.5
    fewest_windows: int = 3
    most_windows: int = 12
    used: float = 0.85
    drift: float = 0.30
    first_pause_seconds: float = 120.0
    longest_pause_seconds: float = 1800.0
    memory_windows: int = 20


@dataclass(frozen=True, slots=True)
class ThroughputWindow:
    """What one server did in a stretch of time.

    ``concurrency`` is the mean number of requests in flight, ``tokens_per_second`` the sum over
    all of them. ``workload`` names what ran, commonly the model: rates of different ones are not
    comparable.
    """

    at: datetime
    concurrency: float
    tokens_per_second: float
    workload: str = ""


@dataclass(frozen=True, slots=True)
class Decode:
    """One answer as it was streamed, from the end of its load to its own end.

    ``finished_at`` is None for one that still runs; its ``tokens`` are those counted until
    ``counted_at`` (None: until now), and it is taken to go on at the same rate.
    """

    started_at: datetime
    finished_at: datetime | None
    tokens: int
    counted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """Mean and spread of the tokens per second of some windows (Welford)."""

    windows: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def seen(self, value: float, *, memory: int) -> Rate:
        """With one window more; beyond ``memory`` windows the older ones fade."""
        windows = min(self.windows + 1, memory)
        fade = (windows - 1) / self.windows if self.windows >= windows else 1.0
        delta = value - self.mean
        mean = self.mean + delta / windows
        return Rate(windows, mean, self.squares * fade + delta * (value - mean))

    @property
    def relative_error(self) -> float:
        """The standard error of the mean as a fraction of it; at least 1 % for few windows."""
        if self.windows < 2 or self.mean <= 0:
            return 1.0
        return max(0.01, math.sqrt(self.squares / (self.windows - 1) / self.windows) / self.mean)


@dataclass(frozen=True, slots=True)
class SearchState:
    """Where the search stands. ``limit`` is what should be in force now, a trial included."""

    base: int
    reason: str = "not measured yet"
    trial: int | None = None
    base_rate: Rate = field(default_factory=Rate)
    trial_rate: Rate = field(default_factory=Rate)
    upwards: bool = True
    sides_lost: int = 0
    pauses: int = 0
    next_trial_at: datetime | None = None
    workload: str = ""

    @property
    def limit(self) -> int:
        return self.base if self.trial is None else self.trial


def step(
    state: SearchState, window: ThroughputWindow, config: SearchConfig, *, most: int
) -> SearchState:
    """The state after one more window; ``most`` is the highest limit allowed now."""
    state = _within(state, most)
    if window.workload != state.workload:
        state = _restarted(state, f"another workload: {window.workload}", window.workload)
    if window.concurrency < config.used * state.limit:
        idle = f"{window.concurrency:.1f} in flight do not use a limit of {state.limit}"
        return replace(state, reason=f"{state.base}: {idle}")
    if window.concurrency > state.limit + 0.5:
        return replace(state, reason=f"{state.base}: requests of an earlier limit still run")
    if state.trial is not None:
        return _judge(_seen_in_trial(state, window, config), window.at, config, most=most)
    return _watch(state, window, config, most=most)


def window_of(
    decodes: Iterable[Decode], *, start: datetime, end: datetime, workload: str = ""
) -> ThroughputWindow:
    """What a server did from ``start`` to ``end``, by the answers it streamed.

    ``decodes`` must hold every call that was in flight in that time, those that still run too:
    without them a server of long answers looks idle. Tokens are spread evenly over a call's time.
    """
    length = (end - start).total_seconds()
    busy_seconds = tokens = 0.0
    for decode in decodes:
        finished = decode.finished_at or end
        inside = (min(finished, end) - max(decode.started_at, start)).total_seconds()
        if inside <= 0:
            continue
        busy_seconds += inside
        counted_at = decode.finished_at or decode.counted_at or end
        counted = (counted_at - decode.started_at).total_seconds()
        if counted > 0:
            tokens += decode.tokens * inside / counted
    return ThroughputWindow(end, busy_seconds / length, tokens / length, workload)


def _within(state: SearchState, most: int) -> SearchState:
    most = max(1, most)
    if state.limit <= most:
        return state
    base = min(state.base, most)
    fresh = Rate() if base != state.base else state.base_rate
    return replace(
        state, base=base, base_rate=fresh, trial=None, reason=f"{base}: no more are allowed"
    )


def _restarted(state: SearchState, why: str, workload: str) -> SearchState:
    return SearchState(base=state.base, reason=f"{state.base}: {why}", workload=workload)


def _watch(
    state: SearchState, window: ThroughputWindow, config: SearchConfig, *, most: int
) -> SearchState:
    drifted = _drifted(state, window.tokens_per_second, config)
    if drifted and state.next_trial_at is not None:
        # One odd window is noise; the pause ends, and the comparison to come will tell.
        state = replace(state, next_trial_at=None, pauses=0, base_rate=Rate())
    rate = state.base_rate.seen(window.tokens_per_second, memory=config.memory_windows)
    state = replace(state, base_rate=rate)
    paused = state.next_trial_at is not None and window.at < state.next_trial_at
    if paused or rate.windows < config.fewest_windows or rate.mean <= 0:
        text = f"{state.base}: {rate.mean:.1f} tokens/s, {'settled' if paused else 'measuring'}"
        return replace(state, reason=text)
    return _try_neighbour(state, window.at, config, most=most)


def _drifted(state: SearchState, tokens_per_second: float, config: SearchConfig) -> bool:
    known = state.base_rate
    if known.windows < 2 * config.fewest_windows or known.mean <= 0:
        return False
    spread = math.sqrt(known.squares / (known.windows - 1))
    change = abs(tokens_per_second - known.mean)
    return change > max(config.drift * known.mean, 3 * spread)


def _try_neighbour(
    state: SearchState, now: datetime, config: SearchConfig, *, most: int
) -> SearchState:
    level = _neighbour(state.base, upwards=state.upwards, most=most)
    if level is None:
        return _side_lost(state, now, config, f"nothing {_way(state)} {state.base}", most=most)
    reason = f"{state.base}: trying {level} against {state.base_rate.mean:.1f} tokens/s"
    return replace(state, trial=level, trial_rate=Rate(), next_trial_at=None, reason=reason)


def _seen_in_trial(
    state: SearchState, window: ThroughputWindow, config: SearchConfig
) -> SearchState:
    rate = state.trial_rate.seen(window.tokens_per_second, memory=config.memory_windows)
    return replace(state, trial_rate=rate)


def _judge(state: SearchState, now: datetime, config: SearchConfig, *, most: int) -> SearchState:
    base, trial = state.base_rate, state.trial_rate
    if trial.windows < 2 or base.mean <= 0:
        return state
    ratio = trial.mean / base.mean
    error = ratio * math.hypot(base.relative_error, trial.relative_error)
    needed = 1 + config.gain if state.upwards else 1 - config.loss
    clear = trial.windows >= config.fewest_windows and (
        abs(ratio - needed) > config.certainty * error
    )
    collapsed = ratio + config.certainty * error < 0.75
    if not (clear or collapsed or trial.windows >= config.most_windows):
        return state
    compared = f"{state.limit} give {trial.mean:.1f} tokens/s, {state.base} give {base.mean:.1f}"
    if ratio > needed:
        return _moved(state, compared)
    return _side_lost(replace(state, trial=None), now, config, compared, most=most)


def _moved(state: SearchState, compared: str) -> SearchState:
    return replace(
        state,
        base=state.limit,
        reason=f"{state.limit}: {compared}",
        trial=None,
        base_rate=state.trial_rate,
        trial_rate=Rate(),
        # The level just left is known to be worse: only the way ahead is open.
        sides_lost=0,
        pauses=0,
        next_trial_at=None,
    )


def _side_lost(
    state: SearchState, now: datetime, config: SearchConfig, why: str, *, most: int
) -> SearchState:
    """Look the other way next; after both sides lost, pause."""
    reason = f"{state.base}: {why}"
    state = replace(state, upwards=not state.upwards, trial=None, trial_rate=Rate(), reason=reason)
    other_side = _neighbour(state.base, upwards=state.upwards, most=most)
    if state.sides_lost == 0 and other_side is not None:
        return replace(state, sides_lost=1, base_rate=_faded(state.base_rate))
    pause = min(config.first_pause_seconds * 2**state.pauses, config.longest_pause_seconds)
    return replace(
        state,
        sides_lost=0,
        pauses=state.pauses + 1,
        next_trial_at=now + timedelta(seconds=pause),
        base_rate=_faded(state.base_rate),
    )


def _faded(rate: Rate) -> Rate:
    """Old windows count for little after a trial: the server may have drifted meanwhile."""
    return Rate(min(rate.windows, 1), rate.mean, 0.0)


def _neighbour(level: int, *, upwards: bool, most: int) -> int | None:
    if upwards:
        if level >= most:
            return None
        return min(next((x for x in LEVELS if x > level), most), most)
    return next((x for x in reversed(LEVELS) if x < level), None)


def _way(state: SearchState) -> str:
    return "above" if state.upwards else "below"
