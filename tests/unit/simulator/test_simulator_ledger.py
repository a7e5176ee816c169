"""Counters, gauges and busy time."""

from __future__ import annotations

from llm.simulator.ledger import JOURNAL_ENTRIES, RequestLedger


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_second_counts_for_the_most_useful_thing_that_ran() -> None:
    clock = Clock()
    ledger = RequestLedger(clock=clock)

    clock.now = 1
    ledger.occupy("load", 1)
    clock.now = 3
    ledger.occupy("decode", 1)
    clock.now = 6
    ledger.occupy("load", -1)
    ledger.occupy("prefill", 1)
    clock.now = 7
    ledger.occupy("decode", -1)
    clock.now = 9
    ledger.occupy("prefill", -1)
    clock.now = 10

    said = ledger.snapshot(journal=0)
    assert said["busy_seconds"] == {"decode": 4, "prefill": 2, "load": 2, "idle": 2}
    assert said["uptime_seconds"] == 10


def test_requests_are_counted_by_model_and_in_all() -> None:
    ledger = RequestLedger()
    first = ledger.arrive(endpoint="/x", model="a", task_id="t1", arrived_at=1.0)
    second = ledger.arrive(endpoint="/x", model="b", task_id=None, arrived_at=2.0)
    ledger.close(first, "completed")
    ledger.close(second, "aborted")

    said = ledger.snapshot(journal=5)
    assert (said["requests"], said["completed"], said["aborted"]) == (2, 1, 1)
    assert said["in_flight"] == {"now": 0, "max": 2}
    assert said["models"]["a"]["requests"] == 1
    assert [entry["task_id"] for entry in said["journal"]] == ["t1", None]
    assert [entry["outcome"] for entry in said["journal"]] == ["completed", "aborted"]


def test_a_reset_keeps_what_runs_in_the_gauges() -> None:
    ledger = RequestLedger()
    entry = ledger.arrive(endpoint="/x", model="a", task_id=None, arrived_at=1.0)
    ledger.stream("a", 1)
    ledger.reset()
    assert ledger.total.requests == 0
    assert (ledger.total.streams.now, ledger.total.in_flight.now) == (1, 1)
    ledger.stream("a", -1)
    ledger.close(entry, "completed")
    assert (ledger.total.streams.now, ledger.total.in_flight.now) == (0, 0)


def test_the_journal_is_bounded() -> None:
    ledger = RequestLedger()
    for number in range(JOURNAL_ENTRIES + 10):
        ledger.arrive(endpoint="/x", model="a", task_id=str(number), arrived_at=0.0)
    assert len(ledger.journal) == JOURNAL_ENTRIES
    assert len(ledger.snapshot(journal=3)["journal"]) == 3
