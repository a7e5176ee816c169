from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from console.cli.app import App
from console.cli.watch import Watch, named
from console.cli.watch_view import Selection, screen_of
from console.operations.slowness import SILENT, Cause
from console.operations.strip import Segment, Strips
from console.operations.verdict import SystemVerdict, VerdictLevel
from console.operations.watching import Lane, Look
from models.database import DatabaseUnavailable
from models.task_figures import ReportedProgress, TaskInProgress
from tests.support.task_rows import listed_task

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)


def look(*, running: int = 2, failed: int = 1, paused: bool = False) -> Look:
    lane = Lane(
        backend="mlx", resident=("qwen:4b",), running=1, limit=4, limit_reason="RAM at 86 %",
        trouble=None, paused=paused, present="qwen:4b 7/20", following="coder:14b 0/8",
        ready=2, dead=1, chats=2,
    )  # fmt: skip
    tasks = [
        TaskInProgress(
            f"{n:08d}-x", f"Task {n}", "mlx", "qwen:4b", NOW, ReportedProgress("decoding", 10 * n)
        )
        for n in range(running)
    ]
    failures = [
        listed_task(
            id=f"f{n:07d}-x", completed_at=NOW - timedelta(minutes=3), title="Bad \x1b[2J",
            last_error="gave up after 3 attempts",
        )
        for n in range(failed)
    ]  # fmt: skip
    return Look(
        at=NOW + timedelta(seconds=9), counts={"pending": 30, "completed": 12, "failed": failed},
        finished_last_minute=6, oldest_waits_since=NOW - timedelta(hours=2),
        lanes=(lane,), running=tuple(tasks), failed=tuple(failures),
    )  # fmt: skip


def drawn(found: Look, selection: Selection, *, height: int = 40, width: int = 120) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, height=height).print(
        screen_of(found, selection, message="", height=height, width=width)
    )
    return stream.getvalue()


def watch_of(found: Look) -> Watch:
    watch = Watch(App(), now_look=lambda: found)
    watch.renew(every_seconds=1)
    return watch


@pytest.mark.parametrize("width", [50, 80, 160])
def test_the_screen_says_why_work_is_not_faster(width: int) -> None:
    cause = Cause(SILENT, {"name": "mlx"})
    slow = replace(look(), verdict=SystemVerdict(VerdictLevel.BUSY, 3, 1, None, (), cause))

    shown = drawn(slow, Selection(), height=30, width=width)

    assert "mlx does not answer: the others do" in " ".join(shown.split())
    assert len(shown.splitlines()) <= 30


def test_the_screen_shows_lanes_running_tasks_and_failures() -> None:
    text = drawn(look(), Selection())

    assert "3/4, 2 chats" in text
    for part in ("3/4", "RAM at 86 %", "qwen:4b 7/20", "coder:14b 0/8", "decoding", "9.0 s",
                 "gave up after 3 attempts", "6/min", "2 ready, 1 dead",
                 "the oldest waits 2 h"):  # fmt: skip
        assert part in text
    assert "\x1b[2J" not in text


@pytest.mark.parametrize("height", [20, 30, 50])
def test_the_screen_fits_its_height_however_much_runs(height: int) -> None:
    text = drawn(look(running=50, failed=20), Selection(), height=height)

    assert len(text.splitlines()) <= height


def test_the_selected_row_stays_in_sight() -> None:
    text = drawn(look(running=50), Selection("running", 49), height=24)

    assert "Task 49" in text


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        (b"q", ["quit"]),
        (b"Q", ["quit"]),
        (b"\x1b[A\x1bOB", ["up", "down"]),
        (b"jp\tr", ["down", "pause", "tab", "retry"]),
        (b"x\xff\x1b", []),
        (b"", ["quit"]),
    ],
)
def test_keys_have_names_however_fast_they_are_typed(typed: bytes, keys: list[str]) -> None:
    assert named(typed) == keys


def test_the_selection_moves_within_its_panel_and_on_to_the_next() -> None:
    watch = watch_of(look(running=2))

    for key in ("tab", "down", "down", "down"):
        watch.press(key)
    at_the_end = watch.selection
    watch.press("tab")

    assert at_the_end == Selection("running", 1)
    assert watch.selection == Selection("failed", 0)


def test_a_key_that_does_not_fit_the_panel_says_what_to_select() -> None:
    watch = watch_of(look())

    watch.press("cancel")

    assert "select a running task" in watch.message


def test_an_outage_is_shown_and_outlasted() -> None:
    answers: list[Look | Exception] = [look(), DatabaseUnavailable("gone"), look(running=1)]

    def next_look() -> Look:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    watch = Watch(App(), now_look=next_look)
    watch.renew(every_seconds=0)
    watch._due_at = 0
    watch.renew(every_seconds=0)
    during = (watch.message, len(watch.look.running))
    watch._due_at = 0
    watch.renew(every_seconds=0)

    assert during == ("Postgres cannot be reached; trying again", 2)
    assert len(watch.look.running) == 1


def test_the_first_look_must_succeed() -> None:
    def no_look() -> Look:
        raise DatabaseUnavailable("refused")

    with pytest.raises(DatabaseUnavailable):
        Watch(App(), now_look=no_look).renew(every_seconds=1)


@pytest.mark.parametrize("width", [80, 50])
def test_on_a_narrow_terminal_names_stay_whole_and_lines_fit(width: int) -> None:
    segments = (Segment("running", "qwen:4b", 0, 120, 12),)
    found = replace(look(), strips=Strips({"mlx": segments}, -60.0, 240.0))

    lines = drawn(found, Selection(), width=width).splitlines()

    assert all(len(line) <= width for line in lines)
    for name in ("mlx", "Task 0", "Bad", "qwen:4b 12", "? keys"):
        assert any(name in line for line in lines), name


def test_a_cancel_names_the_task_and_waits_for_a_yes() -> None:
    watch = watch_of(look())
    watch.press("tab")

    watch.press("cancel")

    assert watch.message == "Cancel 00000000 Task 0? y/n"
    watch.press("down")
    assert watch.message == ""
    assert watch.selection.row == 0


def test_marked_tasks_are_named_by_their_number() -> None:
    watch = watch_of(look())

    for key in ("tab", "mark", "mark", "cancel"):
        watch.press(key)

    assert watch.message == "Cancel 2 tasks? y/n"


def test_the_keys_are_listed_and_a_quit_leaves_only_the_list() -> None:
    watch = watch_of(look())
    stream = io.StringIO()

    watch.press("keys")
    Console(file=stream, width=80).print(watch.view(80, 24))
    watch.press("quit")

    assert "mark the task" in stream.getvalue()
    assert (watch.overlay, watch.over) == ("", False)


def test_enter_opens_the_task_at_the_cursor() -> None:
    watch = watch_of(look())

    watch.press("open")
    assert "select a task" in watch.message
    watch.press("tab")
    watch.press("open")

    assert watch.overlay == "00000000-x"
