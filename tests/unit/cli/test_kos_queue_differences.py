from __future__ import annotations

from console.operations.queue_differences import differences
from console.operations.queues import QueueCounts


def queue(name: str, *, ready: int = 0, in_flight: int = 0) -> QueueCounts:
    return QueueCounts(name, ready, in_flight, delayed=0, dead=0, consumers=0)


def test_agreement_says_nothing() -> None:
    queues = [queue("control", ready=3), queue("llm-mlx", ready=1, in_flight=2)]

    assert differences(queues, {"mlx": 2}) == []


def test_rows_without_messages_are_named_with_what_mends_them() -> None:
    lines = differences([queue("llm-mlx", ready=1)], {"mlx": 4})

    assert len(lines) == 1
    assert "4 rows" in lines[0]
    assert "1 messages" in lines[0]
    assert "kos recover" in lines[0]


def test_rows_of_a_backend_that_was_taken_away_are_named() -> None:
    (line,) = differences([queue("llm-mlx")], {"attic": 2})

    assert "attic" in line
    assert "not configured" in line
