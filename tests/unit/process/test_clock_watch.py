"""Sleep and clock steps are noticed, and forgotten after a while."""

from __future__ import annotations

import pytest

from jobs.process.clock import JUMP_SECONDS, ClockWatch


@pytest.mark.parametrize("step_seconds", [3600.0, -3600.0, JUMP_SECONDS + 1, -JUMP_SECONDS - 1])
def test_a_jump_is_noticed_and_ends_after_its_grace(step_seconds: float) -> None:
    times = {"wall": 1000.0, "monotonic": 50.0}
    watch = ClockWatch(wall=lambda: times["wall"], monotonic=lambda: times["monotonic"])

    times.update(wall=1030.0, monotonic=80.0)
    assert not watch.jumped_within(60)
    times.update(wall=1031.0 + step_seconds, monotonic=81.0)
    assert watch.jumped_within(60)
    times.update(wall=1061.0 + step_seconds, monotonic=111.0)
    assert watch.jumped_within(60)
    times.update(wall=1101.0 + step_seconds, monotonic=151.0)
    assert not watch.jumped_within(60)
