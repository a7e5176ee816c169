"""The one sentence on the whole, for prepared states."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from console.operations.health_report import ReportedCheck, merged
from console.operations.lanes import binding
from console.operations.outlook import Eta
from console.operations.pace import Pace, pace_of
from console.operations.problems import problems_of
from console.operations.slowness import CLOSED, SILENT, Cause
from console.operations.status import badges
from console.operations.verdict import document, english, judge, sentence
from console.supervision.client import ProgramStatus
from jobs.admission.backend_state import BackendState
from jobs.admission.limits import Limit
from jobs.admission.slots import SlotLease
from jobs.settings.load import load
from models.attempt import MinuteSums

NOW = datetime(2026, 3, 14, 17, 0, tzinfo=UTC)
GREEN = ReportedCheck("redis", True)
MLX = ReportedCheck(
    "backend:mlx", False, "does not answer", "start it", since=NOW - timedelta(minutes=3)
)
OLLAMA = replace(GREEN, name="backend:ollama")
RUNNING = ProgramStatus("jobs:control", "RUNNING")


def verdict_text(counts: dict[str, int], *health: ReportedCheck, **known: Any) -> str:
    programs = known.get("programs", [RUNNING])
    judged = judge(
        counts,
        problems_of([GREEN, *health], programs, backends=known.get("backends", ())),
        pace=known.get("pace", Pace()),
        eta=known.get("eta"),
    )
    return f"{judged.level}: {sentence(judged, now=NOW, zone=UTC)}"


def test_an_idle_system_is_well() -> None:
    assert verdict_text({"completed": 9}) == "ok: All is well: nothing waits."


def test_a_busy_system_says_how_much_is_left_and_until_when() -> None:
    eta = Eta(*(NOW + timedelta(minutes=minutes) for minutes in (10, 14, 18)))

    text = verdict_text({"pending": 190, "in_progress": 10}, eta=eta)

    assert (
        text
        == "busy: Working: 200 left, done about 17:14 (17:10-17:18). No problems: nothing to do."
    )


def test_a_server_that_is_down_is_named_with_how_long_while_work_goes_on() -> None:
    assert verdict_text({"in_progress": 2}, MLX, OLLAMA) == (
        "warn: Working: 2 left. 1 problem: mlx does not answer (for 3 min)."
    )


def test_without_programs_nothing_runs_and_no_time_is_promised() -> None:
    text = verdict_text({"pending": 5}, programs=[], eta=Eta(NOW, NOW, NOW))

    assert text == "bad: Nothing runs: 5 wait. 1 problem: the programs are not running."


def test_a_program_that_is_down_comes_before_other_problems() -> None:
    down = ProgramStatus("jobs:control", "FATAL")

    judged = judge({"pending": 1}, problems_of([MLX], [down]), pace=Pace(), eta=None)

    assert [one["remedy"] for one in document(judged, now=NOW)["problems"]] == [
        "kos ctl start jobs:control", "start it",
    ]  # fmt: skip


def test_it_is_red_only_where_work_stands_still() -> None:
    working, waiting = {"pending": 5, "in_progress": 1}, {"pending": 5}
    listener = ProgramStatus("jobs:listener", "FATAL")

    def level(counts: dict[str, int], *checks: ReportedCheck, **known: Any) -> str:
        found = problems_of(checks, known.get("programs", [RUNNING]))
        return judge(counts, found, pace=Pace(), eta=None).level

    assert level({"completed": 3}) == level(working) == "warn"
    assert level(waiting) == "bad"
    assert level(waiting, GREEN, OLLAMA, programs=[RUNNING, listener]) == "warn"
    assert level({}, replace(GREEN, ok=False)) == level({"completed": 1}, MLX) == "bad"


def test_a_silent_server_is_told_of_in_one_way() -> None:
    broken = Cause(CLOSED, {"name": "mlx", "detail": "breaker open: truncated_stream"})
    found = problems_of([MLX, OLLAMA], [RUNNING])

    judged = judge({"in_progress": 1}, found, pace=Pace(), eta=None, cause=broken)
    other = judge({"in_progress": 1}, [], pace=Pace(), eta=None, cause=broken)

    assert judged.cause == replace(broken, what=SILENT)
    assert other.cause == broken


def test_where_nothing_waits_red_says_that_a_new_task_would_not_start() -> None:
    assert verdict_text({"completed": 1}, MLX) == (
        "bad: Nothing waits; a new task would not start. "
        "1 problem: mlx does not answer (for 3 min)."
    )


def test_a_program_is_named_with_what_it_does() -> None:
    planner = ReportedCheck("jobs:control", False, "gives no heartbeat")
    worker = replace(planner, name="jobs:llm-mlx")
    backlog = ReportedCheck("backlog", False, "stands still")

    assert [one.text(english) for one in problems_of([planner, backlog, worker], None)] == [
        "jobs:control, which plans the work: gives no heartbeat",
        "jobs:llm-mlx, which sends tasks to a server: gives no heartbeat",
    ]


def test_failures_of_the_last_hour_are_a_problem_with_the_command_that_lists_them() -> None:
    judged = judge({}, problems_of([GREEN]), pace=Pace(failed=3), eta=None)

    shown = document(judged, now=NOW)

    assert shown["text"].startswith("It is not known what waits. 1 problem: tasks failed in")
    assert shown["problems"][0]["remedy"] == "kos tasks --status failed"
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


def test_a_stopped_program_and_the_check_of_what_it_did_are_one_problem() -> None:
    stopped = ProgramStatus("servers:simulator-mlx", "STOPPED")

    found = problems_of([OLLAMA, MLX], [RUNNING, stopped], {"mlx": "servers:simulator-mlx"})

    assert [(one.text(english), one.since, one.vital) for one in found] == [
        ("mlx does not answer: its program servers:simulator-mlx is stopped", MLX.since, False)
    ]


def test_a_backlog_that_stands_still_without_its_planner_is_one_problem() -> None:
    backlog = replace(GREEN, name="backlog", ok=False, detail="stands still")
    planner = replace(backlog, name="jobs:control", detail="not registered")
    stopped = replace(RUNNING, state="STOPPED")

    [found] = problems_of([planner, backlog, OLLAMA], [stopped])

    assert found.program == "jobs:control"
    assert [one.check for one in problems_of([backlog, OLLAMA], [RUNNING])] == ["backlog"]


def test_a_server_of_ours_that_does_not_answer_names_the_program_to_restart() -> None:
    assert problems_of([MLX], [RUNNING], {"mlx": "servers:mlx-api"})[0].program == "servers:mlx-api"
    assert problems_of([MLX], [RUNNING])[0].program is None


def test_the_limit_that_binds_is_named() -> None:
    limit = Limit(slots=10, heavy=2, reason="SMART_WORKER_MAX_CONCURRENT is 10")

    heavy, light = (SlotLease("mlx", "task", "owner", kind, NOW) for kind in (True, False))

    assert binding(limit, [heavy, heavy]) == (2, "2 of 10: heavy models at most 2")
    for held in ([], [heavy], [heavy, heavy, light]):
        assert binding(limit, held) == (10, "SMART_WORKER_MAX_CONCURRENT is 10")


def test_badges_name_what_is_simulated_read_only_or_open_to_the_network() -> None:
    usual = load({"KOS_HOME": "/nowhere"})
    other = replace(usual, simulated=("mlx",), dashboard_read_only=True, gateway_host="0.0.0.0")

    assert badges(usual) == ()
    assert badges(other) == (
        "mlx: simulated",
        "read-only",
        f"gateway is open to the network: 0.0.0.0:{other.gateway_port}",
    )


def test_without_any_worker_nothing_runs_and_no_time_is_promised() -> None:
    down = [ProgramStatus(f"jobs:llm-{name}", "STOPPED") for name in ("mlx", "ollama")]
    eta = Eta(NOW, NOW, NOW)

    none = verdict_text({"pending": 5}, programs=[RUNNING, *down], eta=eta)
    one = verdict_text({"pending": 5}, programs=[RUNNING, down[0]], eta=eta)
    other = [RUNNING, down[0], replace(down[1], state="RUNNING")]
    some = verdict_text({"pending": 5}, programs=other, eta=eta)

    assert none.startswith("bad: Nothing runs: 5 wait. 2 problems")
    assert one.startswith("bad: Nothing runs: 5 wait. 1 problem")
    assert some.startswith("warn: Working: 5 left, done about 17:00")


def test_without_any_server_nothing_runs() -> None:
    assert verdict_text({"pending": 5}, MLX).startswith("bad: Nothing runs: 5 wait.")


def backend(name: str, *, paused: bool = False, blocked: str | None = None) -> BackendState:
    limit = Limit(slots=2, heavy=2, reason="")
    return BackendState(name, limit, paused=paused, blocked="paused" if paused else blocked)


def test_where_every_backend_is_paused_no_time_is_promised_and_the_way_back_is_told() -> None:
    both = [backend("mlx", paused=True), backend("ollama", paused=True)]
    eta = Eta(NOW, NOW, NOW)

    text = verdict_text({"pending": 5}, OLLAMA, backends=both, eta=eta)
    ending = verdict_text({"pending": 5, "in_progress": 1}, OLLAMA, backends=both, eta=eta)
    [problem] = problems_of([GREEN, OLLAMA], [RUNNING], backends=both)

    assert text == "bad: Nothing runs: 5 wait. 1 problem: every backend is paused by hand."
    assert ending == "bad: Nothing new starts: 6 left. 1 problem: every backend is paused by hand."
    assert problem.remedy == "kos resume mlx, kos resume ollama"


def test_one_paused_backend_beside_one_that_works_is_no_problem() -> None:
    some = [backend("mlx", paused=True), backend("ollama")]

    assert problems_of([GREEN, OLLAMA], [RUNNING], backends=some) == []


def test_no_time_is_promised_where_each_backend_is_shut_for_a_reason_of_its_own() -> None:
    eta = Eta(NOW, NOW, NOW)
    paused = backend("ollama", paused=True)
    open_breaker = backend("mlx", blocked="breaker open: 5 timeouts in a row")

    beside_silent = verdict_text({"pending": 5}, MLX, OLLAMA, backends=[paused, backend("mlx")],
                                 eta=eta)  # fmt: skip
    breakers = verdict_text({"pending": 5}, OLLAMA, backends=[open_breaker], eta=eta)
    workers = [RUNNING, ProgramStatus("jobs:llm-mlx", "STOPPED")]
    found = problems_of([GREEN, OLLAMA], workers, backends=[backend("mlx", blocked="no"), paused])

    assert beside_silent.startswith("bad: Nothing runs: 5 wait. 2 problems, the first: mlx does")
    assert breakers.endswith("1 problem: mlx takes no tasks: breaker open: 5 timeouts in a row.")
    assert [(one.text(english), one.vital) for one in found] == [
        ("jobs:llm-mlx is stopped", True), ("ollama is paused by hand", True),
    ]  # fmt: skip


def test_a_service_that_answers_us_is_red_where_the_health_checker_says_so() -> None:
    read_only = replace(GREEN, name="postgres", ok=False, detail="a read-only server")
    asked = [replace(GREEN, name="postgres"), replace(GREEN, ok=False, detail="refused")]

    assert merged(asked, [read_only, GREEN, OLLAMA]) == [read_only, asked[1], OLLAMA]
