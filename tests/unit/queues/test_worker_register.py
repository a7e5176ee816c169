"""Which queues count as consumed: those of processes that live and have a heartbeat."""

from __future__ import annotations

import pytest

from jobs.process.owners import process_owner
from jobs.queues.worker_register import SILENT_SECONDS, RegisteredWorker, consumed_queues

NOW = 1_000_000.0
GONE = f"{process_owner().rsplit('/', 2)[0]}/999999999/1"


@pytest.mark.parametrize(
    ("owner", "age_seconds", "counts"),
    [
        ("elsewhere/1/1", 0.0, True),
        ("elsewhere/1/1", SILENT_SECONDS - 1, True),
        ("elsewhere/1/1", SILENT_SECONDS, False),
        (GONE, 0.0, False),
    ],
)
def test_a_vanished_host_or_process_consumes_nothing(
    owner: str, age_seconds: float, counts: bool
) -> None:
    worker = RegisteredWorker(owner, NOW - age_seconds, queues=("llm-a", "llm-b"))

    found = consumed_queues([worker], now=NOW)

    assert found == (frozenset({"llm-a", "llm-b"}) if counts else frozenset())
