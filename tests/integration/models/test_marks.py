"""Keys that an ending writes into the metadata of a task, whatever stands there."""

from __future__ import annotations

from typing import Any

import pytest

from models import orphans
from models.base import fetch_all
from models.marks import NO_MARKS, Marks
from models.task import Ending, NewTask, Task
from tests.support.queued import queue_rows

WRITTEN = Marks({"used_model": "m", "next_retry_after": None}, decoded={"source": "bot"})


def end(metadata: str | None, marks: Marks) -> Any:
    """The metadata of a task that stood there so, after it failed with those marks."""
    (task_id,) = Task.submit([NewTask(title="t", description="d")])
    assert task_id is not None
    ((_, epoch),) = queue_rows([task_id], backend="mlx", model="m")
    assert Task.claim(task_id, epoch, owner="host/1/1", lease_seconds=60) is not None
    fetch_all("UPDATE tasks SET metadata = %s::jsonb", (metadata,))
    assert Task.fail(task_id, epoch, Ending(error="no", error_code="blank", marks=marks))
    return fetch_all("SELECT metadata FROM tasks")[0]["metadata"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"a": {"b": null}, "next_retry_after": 1}', {"a": {"b": None}, "used_model": "m"}),
        (None, {"used_model": "m"}),
        ("null", {"used_model": "m"}),
        ('"{\\"source\\": \\"bot\\"}"', {"source": "bot", "used_model": "m"}),
        ("[1, 2]", [1, 2]),
        ("7", 7),
    ],
)
def test_they_are_added_to_an_object_and_to_nothing_else(
    database_here: str, before: str | None, after: object
) -> None:
    assert end(before, WRITTEN) == after


@pytest.mark.parametrize("before", [None, "null", '{"next_retry_after": 1}', '"text"', "[1]"])
def test_without_any_the_metadata_stays(database_here: str, before: str | None) -> None:
    assert end(before, NO_MARKS) == fetch_all("SELECT %s::jsonb AS m", (before,))[0]["m"]


def test_a_text_that_is_no_object_stays(database_here: str) -> None:
    assert end('"text"', Marks({"used_model": "m"})) == "text"


def test_a_failed_task_can_be_marked_later_and_a_retry_takes_the_marks_away(
    database_here: str,
) -> None:
    end('{"source": "scout"}', NO_MARKS)
    (row,) = fetch_all("SELECT id::text FROM tasks")

    orphans.mark_failed([row["id"]], Marks({"deferred_to_human": True, "board_escalated": True}))
    marked = fetch_all("SELECT metadata FROM tasks")[0]["metadata"]
    Task.redrive([row["id"]])

    assert marked == {"source": "scout", "deferred_to_human": True, "board_escalated": True}
    assert fetch_all("SELECT metadata FROM tasks") == [{"metadata": {"source": "scout"}}]
