from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from jobs.policy.recurrence import Action, Due, Recurrence, RecurrenceError, due, plain_to_cron
from jobs.policy.templates import MissingVariables, filled, variables

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
HOURLY = Recurrence("0 * * * *")


@pytest.mark.parametrize(
    ("words", "cron"),
    [
        ("every weekday at 7:30", "30 7 * * 1-5"),
        ("Every  Weekday at 07:30", "30 7 * * 1-5"),
        ("daily at 07:30", "30 7 * * *"),
        ("every day", "0 0 * * *"),
        ("every sunday at 23:59", "59 23 * * 0"),
        ("every weekend at 9:00", "0 9 * * 6,0"),
        ("every month on the 1st at 8:00", "0 8 1 * *"),
        ("monthly", "0 0 1 * *"),
        ("hourly", "0 * * * *"),
        ("every 2 hours", "0 */2 * * *"),
        ("every 15 minutes", "*/15 * * * *"),
        ("every minute", "* * * * *"),
    ],
)
def test_plain_words_become_a_cron_line_that_comes(words: str, cron: str) -> None:
    assert plain_to_cron(words) == cron
    assert len(Recurrence(cron).next_times(NOON)) == 5


@pytest.mark.parametrize(
    "words",
    ["", "soon", "every 7 hours", "every 0 minutes", "every 90 minutes", "daily at 24:00",
     "daily at 7:60", "every month on the 32nd", "every day at 7"],
)  # fmt: skip
def test_words_that_say_no_time_are_refused(words: str) -> None:
    with pytest.raises(RecurrenceError):
        plain_to_cron(words)


def test_a_time_runs_once_in_a_night_that_skips_or_repeats_it() -> None:
    nightly = Recurrence("30 2 * * *", "Europe/Berlin")
    berlin = ZoneInfo("Europe/Berlin")
    for day, first in (
        (datetime(2026, 3, 29, tzinfo=berlin), "2026-03-29T01:00:00+00:00"),
        (datetime(2026, 10, 25, tzinfo=berlin), "2026-10-25T00:30:00+00:00"),
    ):
        times = nightly.next_times(day, 2)
        assert times[0].isoformat() == first
        assert times[1].astimezone(berlin).date() == (day + timedelta(days=1)).date()


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize(("late", "catch_up"), [(0, False), (4, False), (6, True)])
def test_a_due_time_in_time_or_made_up_runs_unless_the_last_one_is_open(
    late: int, catch_up: bool, running: bool
) -> None:
    found = due(
        Recurrence("0 * * * *", catch_up=catch_up),
        handled_until=NOON - timedelta(hours=1),
        now=NOON + timedelta(minutes=late),
        is_running=running,
    )
    assert found == Due(NOON, Action.OVERLAP if running else Action.RUN)


def test_after_a_sleep_the_newest_is_missed_and_the_others_are_counted() -> None:
    now = NOON + timedelta(minutes=30)
    found = due(HOURLY, handled_until=NOON - timedelta(hours=9), now=now, is_running=False)
    assert found == Due(NOON, Action.MISSED, passed=8)


def test_nothing_is_due_between_two_times() -> None:
    now = NOON + timedelta(minutes=59)
    assert due(HOURLY, handled_until=NOON, now=now, is_running=False) is None


def test_a_sleep_of_years_costs_no_more_than_a_week() -> None:
    found = due(
        Recurrence("* * * * *"),
        handled_until=NOON - timedelta(days=3650),
        now=NOON,
        is_running=False,
    )
    assert found is not None
    assert (found.at, found.action) == (NOON, Action.RUN)


def test_values_are_not_looked_at_for_variables_again() -> None:
    line = {"description": "{{ a }} and {{b}}", "files": ["{{a}}"], "seed": 3}
    assert variables(line) == {"a", "b"}
    assert filled(line, {"a": "{{b}}", "b": "\\1"}) == {
        "description": "{{b}} and \\1",
        "files": ["{{b}}"],
        "seed": 3,
    }
    with pytest.raises(MissingVariables, match="no value for a, b"):
        filled(line, {})
