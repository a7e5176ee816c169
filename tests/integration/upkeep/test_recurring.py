"""Recurring work on a real Postgres, with the clock as an argument."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jobs.upkeep import recurring
from models import database, schedule
from models.base import fetch_all
from models.schedule import ScheduleRun

MINUTE = timedelta(minutes=1)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(autouse=True)
def rows(migrated_url: str) -> Iterator[None]:
    database.configure(migrated_url, pool_size=6, application_name="kos-test")
    with database.session():
        yield
    database.close_all()


def add(name: str, cron: str, now: datetime, **values: Any) -> None:
    defaults = {
        "zone": "Europe/Berlin",
        "template": None,
        "line": {"description": "Report of {{date}} at {{time}}"},
        "variables": {},
        "catch_up": False,
        "keep": 1000,
    }
    assert schedule.add(name, {**defaults, **values, "cron": cron}, now=now)


def runs(name: str) -> list[ScheduleRun]:
    row = schedule.get(name)
    assert row is not None
    return schedule.runs(row.id, limit=10_000)[::-1]


def local(name: str, outcome: str = "run") -> list[str]:
    return [f"{run.due_at.astimezone(BERLIN):%a %H:%M}" for run in runs(name)
            if run.outcome == outcome]  # fmt: skip


def end_all(result: str = "done", status: str = "completed") -> None:
    fetch_all("UPDATE tasks SET status = %s, result = %s, completed_at = now()", (status, result))


def tick_of_two_schedulers(now: datetime) -> None:
    """Both start at once, each with a connection of its own."""
    start = threading.Barrier(2)

    def tick() -> None:
        start.wait(10)
        recurring.start_due(now=now)

    threads = [threading.Thread(target=tick) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("monday", "nights"),
    [
        (datetime(2026, 3, 23, tzinfo=BERLIN), "Sun 03:00"),  # 02:30 does not exist that night
        (datetime(2026, 10, 19, tzinfo=BERLIN), "Sun 02:30"),  # 02:30 comes twice that night
    ],
)
def test_a_week_with_a_clock_change_a_sleep_and_two_schedulers_runs_each_due_time_once(
    monday: datetime, nights: str
) -> None:
    now, end = monday.astimezone(UTC), (monday + timedelta(days=7)).astimezone(UTC)
    add("nightly", "30 2 * * *", now)
    add("morning", "30 7 * * 1-5", now)
    add("made up", "0 12 * * *", now, catch_up=True)
    sleep = (monday + timedelta(days=2, hours=6), monday + timedelta(days=2, hours=15))

    while now < end:
        now += MINUTE
        if sleep[0] < now < sleep[1] or now.minute % 10:
            continue  # asleep; and minutes in which nothing is due are left out for speed
        tick_of_two_schedulers(now)
        recurring.start_due(now=now + timedelta(seconds=20))  # a restart in the same minute
        end_all()

    days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    assert local("nightly") == [*(f"{day} 02:30" for day in days), nights]
    assert local("morning") == ["Mon 07:30", "Tue 07:30", "Thu 07:30", "Fri 07:30"]
    assert local("morning", "missed") == ["Wed 07:30"]
    assert local("made up") == [f"{day} 12:00" for day in [*days, "Sun"]]
    started = [run.task_id for name in ("nightly", "morning", "made up") for run in runs(name)
               if run.outcome == "run"]  # fmt: skip
    assert len(started) == len(set(started)) == 18
    tasks = fetch_all("SELECT metadata->>'schedule' AS name FROM tasks")
    assert Counter(row["name"] for row in tasks) == {"nightly": 7, "morning": 4, "made up": 7}


def test_a_clock_that_is_set_back_and_forth_repeats_nothing() -> None:
    now = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
    add("hourly", "0 * * * *", now, zone="UTC")

    for minutes in (60, 120, 60, 119, 120, 60 * 24 * 400, 180, 179, 180, 240):
        recurring.start_due(now=now + minutes * MINUTE)
        end_all()

    due = [run.due_at for run in runs("hourly") if run.outcome == "run"]
    hours = [1, 2, 3, 4, 24 * 400]
    assert due == [now + timedelta(hours=hour) for hour in hours]


def test_a_run_is_left_out_while_the_last_one_is_open() -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    add("often", "* * * * *", now)

    first, second = (recurring.start_due(now=now + n * MINUTE) for n in (1, 2))
    end_all()
    third = recurring.start_due(now=now + 3 * MINUTE)

    assert (len(first), len(second), len(third)) == (1, 0, 1)
    assert [run.outcome for run in runs("often")] == ["run", "overlap", "run"]


def test_the_variables_are_filled_in_the_zone_of_the_schedule() -> None:
    now = datetime(2026, 6, 1, 22, 0, tzinfo=UTC)
    add("diary", "30 0 * * *", now, line={"description": "{{date}} {{time}}: {{last_result}}."})

    for days in (0, 1):
        recurring.start_due(now=now + timedelta(days=days, minutes=30))
        end_all("all {{date}} well")

    texts = fetch_all("SELECT description FROM tasks ORDER BY description")
    assert [row["description"] for row in texts] == [
        "2026-06-02 00:30: .",
        "2026-06-03 00:30: all {{date}} well.",
    ]


def test_the_last_result_is_that_of_the_last_run_that_completed() -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    add("diary", "* * * * *", now, line={"description": "after: {{last_result}}"})

    for number, status in enumerate(["completed", "failed", "cancelled"], start=1):
        recurring.start_due(now=now + number * MINUTE)
        fetch_all(
            "UPDATE tasks SET status = %s, result = %s, completed_at = now() WHERE result IS NULL",
            (status, f"it {status}"),
        )
    recurring.start_due(now=now + 4 * MINUTE)

    texts = fetch_all("SELECT description FROM tasks WHERE result IS NULL")
    assert [row["description"] for row in texts] == ["after: it completed"]


def test_only_the_newest_runs_are_kept_with_their_tasks() -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    add("often", "* * * * *", now, keep=2)

    for number in range(1, 6):
        recurring.start_due(now=now + number * MINUTE)
        end_all()

    kept = {run.task_id for run in runs("often")}
    assert len(kept) == 2
    assert {row["id"] for row in fetch_all("SELECT id::text FROM tasks")} == kept


def test_a_run_that_cannot_be_submitted_is_kept_with_its_reason_and_the_others_go_on() -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    add("broken by SQL", "* * * * *", now)
    fetch_all("UPDATE kos_schedules SET cron = 'when it suits'")
    add("nobody", "* * * * *", now, line={"description": "a", "expert": "Nobody"})
    add("no value", "* * * * *", now, line={"description": "{{topic}}"})
    add("well", "* * * * *", now)

    started = recurring.start_due(now=now + MINUTE)

    assert len(started) == 1
    assert runs("nobody")[0].problem == "expert: 'Nobody' is unknown or not active"
    assert runs("no value")[0].problem == "no value for topic"
    assert [run.outcome for run in runs("well")] == ["run"]
