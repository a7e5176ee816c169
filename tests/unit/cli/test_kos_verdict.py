"""The one sentence on the whole, for prepared states."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from console.operations.outlook import Eta
from console.operations.pace import Pace, pace_of
from console.operations.verdict import document, judge, problems_of, sentence
from models.attempt import MinuteSums

NOW = datetime(2026, 3, 14, 17, 0, tzinfo=UTC)
GREEN = {"name": "redis", "ok": True, "detail": None, "remedy": None, "since": None}
MLX = {
    "name": "backend:mlx", "ok": False, "detail": "does not answer", "remedy": "start it",
    "since": NOW - timedelta(minutes=3),
}  # fmt: skip
RUNNING = {"name": "jobs:control", "state": "RUNNING"}


def verdict_text(counts: dict[str, int], *health: dict[str, Any], **known: Any) -> str:
    programs = known.get("programs", [RUNNING])
    judged = judge(
        counts,
        problems_of([GREEN, *health], programs),
        pace=known.get("pace", Pace()),
        eta=known.get("eta"),
    )
    return f"{judged.level}: {sentence(judged, now=NOW, zone=UTC)}"


def test_an_idle_system_is_well() -> None:
    assert verdict_text({"completed": 9}) == "ok: All is well: nothing waits."


def test_a_busy_system_says_how_much_is_left_and_until_when() -> None:
    eta = Eta(*(NOW + timedelta(minutes=minutes) for minutes in (10, 14, 18)))

    text = verdict_text({"pending": 190, "in_progress": 10}, eta=eta)

    assert text == "busy: Working: 200 left, done about 17:14 (17:10-17:18)."


def test_a_server_that_is_down_is_named_with_how_long_while_work_goes_on() -> None:
    assert verdict_text({"in_progress": 2}, MLX) == (
        "warn: Working: 2 left. 1 problem: backend:mlx: does not answer since 3 min."
    )


def test_without_programs_nothing_runs_and_no_time_is_promised() -> None:
    text = verdict_text({"pending": 5}, programs=[], eta=Eta(NOW, NOW, NOW))

    assert text == "bad: Nothing runs: 5 wait. 1 problem: the programs are not running."


def test_a_program_that_is_down_comes_before_other_problems() -> None:
    down = {"name": "jobs:listener", "state": "FATAL"}

    judged = judge({"pending": 1}, problems_of([MLX], [down, RUNNING]), pace=Pace(), eta=None)

    assert [one["remedy"] for one in document(judged, now=NOW)["problems"]] == [
        "kos ctl start jobs:listener", "start it",
    ]  # fmt: skip


def test_failures_of_the_last_hour_are_a_problem_with_the_command_that_lists_them() -> None:
    judged = judge({}, problems_of([GREEN]), pace=Pace(failed=3), eta=None)

    shown = document(judged, now=NOW)

    assert shown["text"].startswith("It is not known what waits. 1 problem: Failed in the last")
    assert shown["problems"][0]["remedy"] == "kos tasks --status failed --since 1h"
    assert shown["eta"] is None


def test_the_pace_counts_what_completed_lately_and_what_failed_in_the_hour() -> None:
    found = pace_of(
        [_sums(0, "completed", 30), _sums(1, "completed", 31), _sums(30, "completed", 9000),
         _sums(40, "failed", 2), _sums(1, "retried", 7)],
        now=NOW.replace(second=1),
    )  # fmt: skip

    assert found == Pace(per_second=1.0, failed=2, retried_share=7 / 9070)


def _sums(minutes_ago: int, outcome: str, count: int) -> MinuteSums:
    return MinuteSums(
        minute=NOW - timedelta(minutes=minutes_ago), backend="mlx", model="m", outcome=outcome,
        error_code=None, count=count, prompt_tokens=0, completion_tokens=0, duration_seconds=0.0,
        wait_seconds=0.0, load_seconds=0.0, first_token_seconds=0.0,
    )  # fmt: skip
