from __future__ import annotations

import threading

import pytest

from console.operations.lanes import done_of, lane_of
from jobs.attempt.lease_keeper import RunningAttempt
from llm import types
from llm.types import CancelToken, Phase
from models.block import BlockInForce
from models.task_figures import ReportedProgress, progress_in


def block(backend: str, order: int, *, in_flight: int = 0) -> BlockInForce:
    return BlockInForce(
        f"b{order}",
        backend,
        f"m{order}",
        size=9,
        remaining=4,
        in_flight=in_flight,
        lane_order=order,
    )


def test_progress_is_read_as_the_heart_writes_it() -> None:
    running = RunningAttempt(
        task_id="t", epoch=1, backend="mlx", token=CancelToken(),
        thread=threading.current_thread(), renewed_at=0.0,
    )  # fmt: skip
    running.progress = types.GenerationProgress(Phase.DECODING, completion_tokens=42)

    assert progress_in(running.report()) == ReportedProgress("decoding", 42)


@pytest.mark.parametrize("told", [None, "half", [1], {"tokens": "many"}, {"phase": ""}])
def test_what_a_stranger_wrote_is_no_progress(told: object) -> None:
    assert progress_in(told) == ReportedProgress()


def test_a_lane_begins_with_what_is_in_flight_and_goes_on_as_planned() -> None:
    blocks = [block("mlx", 3), block("ollama", 0), block("mlx", 1), block("mlx", 7, in_flight=2)]

    lane = lane_of(blocks, "mlx")

    assert [row.model for row in lane] == ["m7", "m1", "m3"]
    assert [done_of(row) for row in lane] == [3, 5, 5]
