"""A lane by time, for prepared plans."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from console.cli.strip import scale_line, strip_line
from console.operations.outlook import OpenWork
from console.operations.strip import Seen, Segment, Strips, strips
from jobs.policy.forecast import Ahead, BlockAhead, Duration, Forecast, InFlight, forecast
from models.ahead import SentTask
from models.block import BlockInForce, StartedBlock
from models.model_loads import PastLoad
from models.request import ServedCall

NOW = datetime(2026, 3, 14, 17, 0, tzinfo=UTC)


def open_block(id: str, model: str, **known: Any) -> BlockInForce:
    counts = {"size": 9, "remaining": 0, "in_flight": 0, "lane_order": 0}
    return BlockInForce(id, "mlx", model, **{**counts, **known})


RUNS = open_block("a", "small", in_flight=1, remaining=3, started_at=NOW)
COMES = open_block(
    "b", "large", remaining=2, lane_order=1, needs_load=True, expected_load_seconds=10.0
)
STEADY = Duration(10.0, 0.0)


def played(*blocks: BlockAhead) -> Forecast:
    in_flight = (InFlight("one", "mlx", STEADY, elapsed_seconds=0.0),)
    return forecast(Ahead(blocks, in_flight, {"mlx": 1}), draw=lambda: 0.5)


def test_what_runs_comes_first_then_the_load_and_the_block_behind_it() -> None:
    found = played(
        BlockAhead("a", "mlx", 3, STEADY), BlockAhead("b", "mlx", 2, STEADY, load_seconds=10.0)
    )
    sent = [SentTask("one", "mlx", "a", 0.0, 10.0, 0.0)]

    drawn = strips(Seen(OpenWork([RUNS, COMES], sent)), found, ["mlx", "ollama"], now=NOW)

    shown = [(one.kind, one.model, round(one.start), round(one.end), one.tasks)
             for one in drawn.lanes["mlx"]]  # fmt: skip
    assert shown == [
        ("running", "small", 0, 40, 4),
        ("load", "large", 40, 50, 0),
        ("planned", "large", 50, 70, 2),
    ]  # fmt: skip
    assert drawn.lanes["ollama"] == ()
    assert (drawn.since, drawn.until) == (-60.0, 240.0)


def test_a_paused_lane_shows_what_runs_and_no_plan() -> None:
    found = played(
        BlockAhead("a", "mlx", 3, STEADY), BlockAhead("b", "mlx", 2, STEADY, load_seconds=10.0)
    )
    sent = [SentTask("one", "mlx", "a", 0.0, 10.0, 0.0)]
    seen = Seen(OpenWork([RUNS, COMES], sent))

    drawn = strips(seen, found, ["mlx"], now=NOW, paused=["mlx"]).lanes["mlx"]

    assert [(one.kind, one.model) for one in drawn] == [("running", "small")]


def test_blocks_of_one_model_after_each_other_are_one_and_the_past_is_cut_where_the_strip_begins(
) -> None:  # fmt: skip
    def past(id: str, model: str, began: float, ended: float | None) -> StartedBlock:
        at = None if ended is None else NOW - timedelta(seconds=ended)
        return StartedBlock(id, "mlx", model, 2, NOW - timedelta(seconds=began), at)

    seen = Seen(
        started=[
            past("x", "old", 900, 800),
            past("y", "small", 100, 40),
            past("z", "small", 40, 5),
        ],
        loads=[PastLoad("mlx", "small", NOW - timedelta(seconds=50), 5.0)],
        chats=[ServedCall("mlx", NOW - timedelta(seconds=20), 0.0, 0.0, 1.0, 8.0)],
    )

    drawn = strips(seen, Forecast(()), ["mlx"], now=NOW).lanes["mlx"]

    assert [(one.kind, one.model, one.start, one.end) for one in drawn] == [
        ("past", "small", -60.0, -5.0), ("load", "small", -55.0, -50.0), ("chat", "", -20.0, -12.0),
    ]  # fmt: skip


def test_a_line_of_text_shows_the_same_and_keeps_the_number_where_a_name_is_cut() -> None:
    segments = (
        Segment("past", "small", -60, 0, 4),
        Segment("running", "qwen2.5-coder:32b", 0, 120, 12),
        Segment("load", "large", 120, 150),
        Segment("planned", "large", 150, 240, 8),
    )
    drawn = Strips({"mlx": segments}, -60.0, 240.0)

    line = strip_line(segments, drawn, width=60)

    assert line == "░small 4░░░░│qwen2.5-coder:32b 12███▞▞▞▞▞▞▓large 8▓▓▓▓▓▓▓▓▓▓"
    assert len(strip_line(segments, drawn, width=30)) == 30
    assert "… 12" in strip_line(segments, drawn, width=30)
    assert scale_line(drawn, width=60) == " " * 12 + "now" + " " * 39 + "+4 min"
