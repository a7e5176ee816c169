from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from jobs.policy.throughput_search import (
    LEVELS,
    Decode,
    Rate,
    SearchConfig,
    SearchState,
    ThroughputWindow,
    step,
    window_of,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
WINDOW_SECONDS = 15
CONFIG = SearchConfig()
MOST = 16

Curve = Callable[[int], float]


def knee_at(knee: int, *, scale: float = 20.0) -> Curve:
    """Almost linear up to the knee, 8 % of the peak lost for every slot beyond it."""

    def tokens_per_second(slots: int) -> float:
        peak = scale * math.pow(min(slots, knee), 0.9)
        return peak * max(0.2, 1 - 0.08 * max(0, slots - knee))

    return tokens_per_second


def plateau_from(knee: int) -> Curve:
    return lambda slots: 20.0 * min(slots, knee)


@dataclass
class Run:
    state: SearchState
    limits: list[int]
    bases: list[int]
    efficiency: float

    def changes_after(self, window: int) -> int:
        pairs = zip(self.bases[window:], self.bases[window + 1 :], strict=False)
        return sum(before != after for before, after in pairs)


def simulate(
    curve_at: Callable[[int], Curve], *, windows: int = 480, noise: float = 0.0, seed: int = 1
) -> Run:
    """Drive the limiter with a server whose curve at each window is ``curve_at(window)``."""
    dice = random.Random(seed)
    state = SearchState(base=4)
    limits, bases, got, possible = [], [], 0.0, 0.0
    for number in range(windows):
        curve = curve_at(number)
        got += curve(state.limit)
        possible += max(curve(slots) for slots in range(1, MOST + 1))
        measured = curve(state.limit) * dice.gauss(1, noise)
        at = START + timedelta(seconds=WINDOW_SECONDS * number)
        state = step(state, ThroughputWindow(at, state.limit, measured), CONFIG, most=MOST)
        limits.append(state.limit)
        bases.append(state.base)
    return Run(state, limits, bases, got / possible)


@pytest.mark.parametrize("knee", [1, 2, 4, 8, 12])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_it_finds_the_knee_and_stays_there(knee: int, noise: float) -> None:
    run = simulate(lambda _: knee_at(knee), noise=noise)

    assert run.state.base == knee
    assert run.changes_after(120) == 0
    assert run.efficiency > 0.95


@pytest.mark.parametrize("knee", [1, 4, 8])
@pytest.mark.parametrize("seed", range(10))
def test_with_much_noise_it_stays_near_the_knee(knee: int, seed: int) -> None:
    run = simulate(lambda _: knee_at(knee), windows=960, noise=0.15, seed=seed)

    best, found = knee_at(knee)(knee), knee_at(knee)(run.state.base)
    assert found > 0.85 * best
    assert run.efficiency > 0.88
    assert run.changes_after(240) <= 12


def test_on_a_plateau_it_takes_the_smallest_limit_that_gives_it_all() -> None:
    assert simulate(lambda _: plateau_from(4)).state.base == 4


@pytest.mark.parametrize(("before", "after"), [(8, 2), (2, 8), (8, 4), (1, 12)])
def test_it_follows_a_knee_that_moves(before: int, after: int) -> None:
    run = simulate(
        lambda window: knee_at(before if window < 300 else after), windows=700, noise=0.05
    )

    assert run.bases[299] == before
    assert run.state.base == after


def test_a_server_that_slowly_throttles_does_not_move_the_limit() -> None:
    run = simulate(lambda window: knee_at(4, scale=20 * (1 - window / 960)), noise=0.03)

    assert run.state.base == 4
    assert run.changes_after(60) == 0


def test_trials_become_rare_once_settled() -> None:
    run = simulate(lambda _: knee_at(4), windows=960)

    trials = [limit != base for limit, base in zip(run.limits, run.bases, strict=True)]
    assert sum(trials[:100]) > 0
    assert sum(trials[480:]) / 480 < 0.12


def test_an_idle_server_teaches_nothing() -> None:
    state = SearchState(base=4)

    after = step(state, ThroughputWindow(START, 1.5, 30.0), CONFIG, most=MOST)

    assert after.base_rate == state.base_rate
    assert after.reason == "4: 1.5 in flight do not use a limit of 4"


def test_requests_left_from_a_higher_limit_are_not_counted_for_the_lower() -> None:
    state = SearchState(base=4)

    after = step(state, ThroughputWindow(START, 7.0, 30.0), CONFIG, most=MOST)

    assert after.base_rate == state.base_rate


def test_a_lowered_bound_ends_a_trial_and_lowers_the_limit() -> None:
    trying = replace(SearchState(base=8), trial=10, base_rate=Rate(3, 50.0, 1.0))

    after = step(trying, ThroughputWindow(START, 5.0, 30.0), CONFIG, most=6)

    assert after.limit == 6
    assert after.trial is None


def test_another_model_starts_the_measurement_anew_from_the_present_limit() -> None:
    state = replace(SearchState(base=6, workload="a"), base_rate=Rate(9, 50.0, 1.0))

    after = step(state, ThroughputWindow(START, 6.0, 10.0, workload="b"), CONFIG, most=MOST)

    assert (after.base, after.workload, after.base_rate.mean) == (6, "b", 10.0)


def test_a_limit_off_the_levels_finds_its_way() -> None:
    state = SearchState(base=5)
    for number in range(200):
        at = START + timedelta(seconds=WINDOW_SECONDS * number)
        rate = knee_at(8)(state.limit)
        state = step(state, ThroughputWindow(at, state.limit, rate), CONFIG, most=7)

    assert state.base == 7
    assert 7 not in LEVELS


def test_every_state_says_why() -> None:
    state = SearchState(base=4)
    for number in range(100):
        at = START + timedelta(seconds=WINDOW_SECONDS * number)
        rate = knee_at(2)(state.limit)
        state = step(state, ThroughputWindow(at, state.limit, rate), CONFIG, most=MOST)
        assert state.reason
        assert 1 <= state.limit <= MOST


def test_a_server_that_gives_nothing_does_not_break_the_search() -> None:
    state = SearchState(base=4)
    for number in range(50):
        at = START + timedelta(seconds=WINDOW_SECONDS * number)
        state = step(state, ThroughputWindow(at, state.limit, 0.0), CONFIG, most=MOST)

    assert 1 <= state.limit <= MOST


def test_a_window_is_read_off_the_answers_it_cuts() -> None:
    def at(seconds: float) -> datetime:
        return START + timedelta(seconds=seconds)

    decodes = [
        Decode(at(-10), at(10), 200),
        Decode(at(5), None, 50),
        Decode(at(-5), None, 50, counted_at=at(5)),
        Decode(at(15), None, 0, counted_at=at(15)),
        Decode(at(-20), at(-5), 999),
        Decode(at(20), at(30), 999),
    ]

    window = window_of(decodes, start=at(0), end=at(15), workload="qwq:32b")

    assert window.concurrency == pytest.approx((10 + 10 + 15) / 15)
    assert window.tokens_per_second == pytest.approx((100 + 50 + 75) / 15)
    assert (window.at, window.workload) == (at(15), "qwq:32b")


def test_it_finds_the_knee_from_long_answers_that_overlap_its_windows() -> None:
    def at(seconds: float) -> datetime:
        return START + timedelta(seconds=seconds)

    dice, curve, tick = random.Random(1), knee_at(4), 0.5
    state = SearchState(base=8)
    running: list[list[float]] = []
    decodes: list[Decode] = []
    for number in range(1, int(3600 / tick)):
        now = number * tick
        while len(running) < state.limit:
            running.append([now, 0.0, dice.lognormvariate(0, 0.5) * 600])
        share = curve(len(running)) / len(running) * tick
        for call in running:
            call[1] += share
        ended = [call for call in running if call[1] >= call[2]]
        running = [call for call in running if call[1] < call[2]]
        decodes += [Decode(at(call[0]), at(now), int(call[1])) for call in ended]
        if now % WINDOW_SECONDS == 0:
            live = [Decode(at(call[0]), None, int(call[1])) for call in running]
            window = window_of([*decodes, *live], start=at(now - WINDOW_SECONDS), end=at(now))
            state = step(state, window, CONFIG, most=MOST)
            decodes = []

    assert state.base == 4
