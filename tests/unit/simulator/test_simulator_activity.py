"""Counters, gauges and busy time."""

from __future__ import annotations

from llm.simulator.activity import JOURNAL_ENTRIES, Activity


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_second_counts_for_the_most_useful_thing_that_ran() -> None:
    clock = Clock()
    activity = Activity(clock=clock)

    clock.now = 1
    activity.occupy("load", 1)
    clock.now = 3
    activity.occupy("decode", 1)
    clock.now = 6
    activity.occupy("load", -1)
    activity.occupy("prefill", 1)
    clock.now = 7
    activity.occupy("decode", -1)
    clock.now = 9
    activity.occupy("prefill", -1)
    clock.now = 10

    said = activity.snapshot(journal=0)
    assert said["busy_seconds"] == {"decode": 4, "prefill": 2, "load": 2, "idle": 2}
    assert said["uptime_seconds"] == 10


def test_requests_are_counted_by_model_and_in_all() -> None:
    activity = Activity()
    first = activity.arrive(endpoint="/x", model="a", task_id="t1", arrived_at=1.0)
    second = activity.arrive(endpoint="/x", model="b", task_id=None, arrived_at=2.0)
    activity.close(first, "completed")
    activity.close(second, "aborted")

    said = activity.snapshot(journal=5)
    assert (said["requests"], said["completed"], said["aborted"]) == (2, 1, 1)
    assert said["in_flight"] == {"now": 0, "max": 2}
    assert said["models"]["a"]["requests"] == 1
    assert [entry["task_id"] for entry in said["journal"]] == ["t1", None]
    assert [entry["outcome"] for entry in said["journal"]] == ["completed", "aborted"]


def test_a_reset_keeps_what_runs_in_the_gauges() -> None:
    activity = Activity()
    entry = activity.arrive(endpoint="/x", model="a", task_id=None, arrived_at=1.0)
    activity.stream("a", 1)
    activity.reset()
    assert activity.total.requests == 0
    assert (activity.total.streams.now, activity.total.in_flight.now) == (1, 1)
    activity.stream("a", -1)
    activity.close(entry, "completed")
    assert (activity.total.streams.now, activity.total.in_flight.now) == (0, 0)


def test_the_journal_is_bounded() -> None:
    activity = Activity()
    for number in range(JOURNAL_ENTRIES + 10):
        activity.arrive(endpoint="/x", model="a", task_id=str(number), arrived_at=0.0)
    assert len(activity.journal) == JOURNAL_ENTRIES
    assert len(activity.snapshot(journal=3)["journal"]) == 3
