"""The figures of the first screen, without a database."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from console.operations.pace import recent_rate
from console.operations.time_shares import union_seconds
from console.web.figures.cache import Cached
from console.web.figures.cron import described, next_runs
from console.web.figures.pending import with_estimates
from console.words import words_for
from jobs.policy.forecast import Ahead, BlockAhead, Duration, Forecast, forecast
from jobs.queues import cron
from models.block import PlacedKind
from models.task_figures import PendingGroup

NOON = datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("longest_seconds", "kept_seconds"), [(60.0, 40.0), (10.0, 10.0)])
def test_an_expensive_value_is_kept_longer_within_its_bound(
    longest_seconds: float, kept_seconds: float
) -> None:
    clock, looks = Clock(), []

    def look() -> int:
        looks.append(clock.now)
        clock.now += 0.2
        return len(looks)

    cached = Cached(look, longest_seconds=longest_seconds, clock=clock)
    assert cached.get() == 1
    clock.now += kept_seconds
    assert cached.get() == 2
    clock.now += kept_seconds - 1
    assert cached.get() == 2
    clock.now += 2
    assert cached.get() == 3


def test_a_value_that_just_ran_out_is_told_while_a_new_one_is_looked_up() -> None:
    clock, renewed = Clock(), threading.Event()
    values = iter((1, 2))

    def look() -> int:
        value = next(values)
        if value == 2:
            renewed.set()
        return value

    cached = Cached(look, clock=clock)
    cached.get()
    clock.now += 2

    assert cached.get(stale_seconds=5) == 1
    assert renewed.wait(10)
    cached.get()
    assert cached.get(stale_seconds=5) == 2


def test_what_was_forgotten_is_never_told_again() -> None:
    values = iter((1, 2))
    cached = Cached(lambda: next(values))
    cached.get()

    cached.forget()

    assert cached.get(stale_seconds=1000) == 2


def test_a_look_that_began_before_it_was_forgotten_counts_as_old() -> None:
    clock, looks = Clock(), []

    def look() -> int:
        looks.append(clock.now)
        if len(looks) == 1:
            cached.forget()
        return len(looks)

    cached = Cached(look, clock=clock)

    assert cached.get() == 1
    assert cached.get() == 2
    assert cached.get() == 2


def test_what_was_forgotten_is_not_told_while_another_looks() -> None:
    looks: list[int] = []
    looking, told = threading.Event(), threading.Event()

    def look() -> int:
        looks.append(1)
        if len(looks) == 2:
            looking.set()
            assert told.wait(10)
        return len(looks)

    clock = Clock()
    cached = Cached(look, clock=clock)
    cached.get()
    clock.now += 2
    cached.get(stale_seconds=5)
    assert looking.wait(10)
    cached.forget()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(cached.get)
        with pytest.raises(TimeoutError):
            asked.result(timeout=0.1)
        told.set()

        assert asked.result(timeout=10) == 3


def test_a_failure_is_told_and_not_kept() -> None:
    answers = iter((ValueError("down"), 7))

    def look() -> int:
        answer = next(answers)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    cached = Cached(look)
    with pytest.raises(ValueError, match="down"):
        cached.get()

    assert cached.get() == 7


def test_overlapping_spans_count_once() -> None:
    def at(seconds: float) -> datetime:
        return NOON + timedelta(seconds=seconds)

    spans = [(at(0), at(10)), (at(5), at(12)), (at(6), at(7)), (at(20), at(99)), (at(-9), at(1))]

    assert union_seconds(spans, start=at(0), end=at(30)) == 22


def test_the_rate_counts_from_the_first_busy_minute() -> None:
    assert recent_rate((0,) * 60, now=NOON) == 0
    assert recent_rate((0,) * 59 + (15,), now=NOON) == 0.5
    assert recent_rate((0,) * 58 + (30, 15), now=NOON) == 0.5


def test_the_rate_is_zero_when_nothing_runs() -> None:
    assert recent_rate((0,) * 54 + (30, 30, 30, 0, 0, 0), now=NOON) == 0
    assert recent_rate((0,) * 54 + (30, 30, 30, 30, 0, 0), now=NOON) > 0


def test_each_group_is_done_with_its_last_task_in_the_plan() -> None:
    groups = [
        PendingGroup("coding", "high", 10, NOON - timedelta(seconds=5), 0),
        PendingGroup("coding", "low", 20, None, 0),
        PendingGroup("fast", "low", 3, None, 3),
    ]
    block = BlockAhead("b", "mlx", tasks=30, duration=Duration(2.0, 0.0))
    found = forecast(Ahead(blocks=(block,), slots={"mlx": 1}), draw=lambda: 0.5)
    places = [PlacedKind("coding", "high", "b", 9, 10), PlacedKind("coding", "low", "b", 29, 20)]

    told = with_estimates(groups, found, places, now=NOON)

    assert [one.oldest_wait_seconds for one in told] == [5, None, None]
    assert [round(one.eta_seconds or 0, 6) for one in told] == [20, 60, 60]
    nothing = with_estimates(groups, Forecast(()), [], now=NOON)
    assert [one.eta for one in nothing] == [None, None, None]


@pytest.mark.parametrize(
    ("cron", "words", "first"),
    [
        ("* * * * *", "every minute", "12:01"),
        ("*/2 * * * *", "every 2 minutes", "12:02"),
        ("17 * * * *", "every hour at :17", "12:17"),
        ("41 3 * * *", "every day at 03:41 UTC", "03:41"),
    ],
)
def test_a_cron_line_is_told_in_words(cron: str, words: str, first: str) -> None:
    assert described(cron, words_for("en")) == words
    assert next_runs(cron, NOON, count=1)[0].strftime("%H:%M") == first


def test_the_usual_cron_lines_of_people_are_told_in_words_and_others_as_they_are() -> None:
    words = words_for("ru")

    assert described("30 7 * * 1-5", words, zone="") == "по будням в 07:30"
    assert described("0 9 * * 1", words, zone="") == "каждый понедельник в 09:00"
    for line in ("0 */2 * * *", "0 9 1 * *", "* * * * 1", "1-5 * * * *", "0 9 * * MON"):
        assert described(line, words) == line


def test_every_line_of_our_schedule_is_understood() -> None:
    for line in cron.TABLE:
        assert described(line.cron, words_for("ru")) != line.cron
        assert len(next_runs(line.cron, NOON, count=2)) == 2
