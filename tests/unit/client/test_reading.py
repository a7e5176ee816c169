"""What a dashboard may answer, and what becomes of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kos_client.batches import results
from kos_client.errors import UnexpectedAnswer
from kos_client.following import more
from kos_client.reading import parse, read
from kos_client.values import Batch, Task


def test_a_task_is_read_with_its_attempts_and_times() -> None:
    task = read(
        Task,
        {
            "id": "a",
            "status": "completed",
            "created_at": "2026-11-28T10:00:00+00:00",
            "validation_score": 1,
            "depends_on": ["b"],
            "attempts": [{"number": 1, "outcome": "completed", "verdict": {"score": 1}}],
            "from_a_newer_dashboard": [1, 2],
        },
    )

    assert task.created_at == datetime(2026, 11, 28, 10, tzinfo=UTC)
    assert task.validation_score == 1.0
    assert task.depends_on == ("b",)
    assert task.attempts[0].outcome == "completed"
    assert task.has_ended


def test_seconds_since_1970_are_times_too() -> None:
    batch = read(Batch, {"id": "batch_1", "status": "validating", "created_at": 0})

    assert batch.created_at == datetime(1970, 1, 1, tzinfo=UTC)
    assert batch.request_counts.total == 0


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (None, "Task"),
        ([], "Task"),
        ({"id": "a"}, "Task.status"),
        ({"id": 7, "status": "pending"}, "Task.id"),
        ({"id": "a", "status": "pending", "created_at": "soon"}, "Task.created_at"),
        ({"id": "a", "status": "pending", "created_at": {}}, "Task.created_at"),
        ({"id": "a", "status": "pending", "attempts": [1]}, "Attempt"),
        ({"id": "a", "status": "pending", "attempts": "none"}, "Task.attempts"),
    ],
)
def test_what_is_no_task_is_named(document: object, named: str) -> None:
    with pytest.raises(UnexpectedAnswer, match=named):
        read(Task, document)


@pytest.mark.parametrize("text", ["", "<html>", "[" * 100_000])
def test_what_is_no_json_is_an_unexpected_answer(text: str) -> None:
    with pytest.raises(UnexpectedAnswer):
        parse(text)


@pytest.mark.parametrize("line", ["7", '{"custom_id": "q"}', '{"error": null, "response": []}'])
def test_a_line_of_results_that_is_none_is_named(line: str) -> None:
    with pytest.raises(UnexpectedAnswer):
        list(results(line))


@pytest.mark.parametrize(
    ("shown", "text", "expected"),
    [("", "a", "a"), ("a", "ab", "b"), ("ab", "ab", ""), ("ab", "c", "\n\nc")],
)
def test_a_text_that_begins_anew_is_parted_by_an_empty_line(
    shown: str, text: str, expected: str
) -> None:
    assert more(shown, text) == expected
