"""Sleep and clock steps are noticed, and forgotten after a while."""

from __future__ import annotations

from jobs.process.clock import ClockWatch


def test_a_jump_is_noticed_and_ends_after_its_grace() -> None:
    times = {"wall": 1000.0, "monotonic": 50.0}
    watch = ClockWatch(wall=lambda: times["wall"], monotonic=lambda: times["monotonic"])

    times.update(wall=1030.0, monotonic=80.0)
    assert not watch.jumped_within(60)
    times.update(wall=4630.0, monotonic=81.0)
    assert watch.jumped_within(60)
    times.update(wall=4660.0, monotonic=111.0)
    assert watch.jumped_within(60)
    times.update(wall=4700.0, monotonic=151.0)
    assert not watch.jumped_within(60)
