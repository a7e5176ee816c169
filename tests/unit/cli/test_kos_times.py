from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from console.operations.errors import InvalidInput
from console.operations.times import about, ago, parse_since, span

NOW = datetime(2026, 3, 14, 15, 30, tzinfo=UTC)


def test_a_day_and_a_time_without_a_zone_are_those_of_the_reader() -> None:
    here = timezone(timedelta(hours=5, minutes=45))
    now = datetime(2026, 3, 15, 2, 0, tzinfo=here)

    assert parse_since("today", now=now) == datetime(2026, 3, 14, 18, 15, tzinfo=UTC)
    assert parse_since("2026-03-01T12:00", now=now) == datetime(2026, 3, 1, 6, 15, tzinfo=UTC)
    assert parse_since("2026-03-01T12:00Z", now=now) == datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("10m", NOW - timedelta(minutes=10)),
        ("2h", NOW - timedelta(hours=2)),
        ("3 days", NOW - timedelta(days=3)),
        ("1.5 h ago", NOW - timedelta(minutes=90)),
        ("90s", NOW - timedelta(seconds=90)),
        ("2w", NOW - timedelta(weeks=2)),
        ("today", datetime(2026, 3, 14, tzinfo=UTC)),
        ("yesterday", datetime(2026, 3, 13, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_as_people_write_it(written: str, moment: datetime) -> None:
    assert parse_since(written, now=NOW) == moment


@pytest.mark.parametrize(
    "written", ["", "soon", "2 months", "10", "2026-13-01", "m10", "0001-01-01T00:00:00+14:00"]
)
def test_what_is_no_time_is_refused_with_examples(written: str) -> None:
    with pytest.raises(InvalidInput, match="write 10m"):
        parse_since(written, now=NOW)


def test_a_span_beyond_the_calendar_means_since_ever() -> None:
    assert parse_since("999999999999w", now=NOW).year == 1


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "just now"),
        (20, "20 s ago"),
        (3 * 60, "3 min ago"),
        (2 * 3600 + 5 * 60, "2 h 5 min ago"),
        (4 * 86_400 + 7200, "4 d 2 h ago"),
        (-120, "in 2 min"),
        (40 * 86_400, "2026-02-02"),
    ],
)
def test_a_moment_is_told_as_people_say_it(seconds: float, told: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), now=NOW) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-0.6, "0.0 s"), (None, ""), (0.016, "16 ms"), (0.42, "0.4 s"), (12.3, "12 s"), (61, "1 min")],
)
def test_a_span_is_told_with_its_unit(seconds: float | None, told: str) -> None:
    assert span(seconds) == told


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (240, 360, "about 4-6 min"),
        (20, 31, "about 20-31 s"),
        (0, 1, "about 0-1 s"),
        (300, 300, "about 5 min"),
        (3600, 9000, "about 1-3 h"),
    ],
)
def test_a_range_is_told_in_one_unit(low: float, high: float, words: str) -> None:
    assert about(low, high) == words
