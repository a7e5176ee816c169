"""A drain waits for every running call until one deadline."""

from __future__ import annotations

import threading
import time
from typing import Any, cast

from jobs.worker import end_threads


class Call(threading.Thread):
    """Runs for some seconds, whatever it is told."""

    def __init__(self, seconds: float) -> None:
        super().__init__(daemon=True)
        self.seconds = seconds

    def run(self) -> None:
        time.sleep(self.seconds)

    def stop(self) -> None:
        return


def test_three_calls_have_the_whole_time_together() -> None:
    calls = [Call(1.2), Call(1.6), Call(2.0)]
    for call in calls:
        call.start()

    end_threads(cast(Any, calls), seconds=3.0)

    assert not any(call.is_alive() for call in calls)


def test_a_call_that_does_not_end_costs_no_more_than_the_deadline() -> None:
    calls = [Call(30.0), Call(30.0), Call(30.0)]
    for call in calls:
        call.start()

    began = time.monotonic()
    end_threads(cast(Any, calls), seconds=0.5)

    assert time.monotonic() - began < 1.5
