"""What becomes of an open batch, by its state, its window and its lines."""

from __future__ import annotations

from typing import Any, cast

import pytest

from console.web.batches.runner import BatchRunner
from models.batch import BatchProgress, StoredBatch

RUNS = BatchProgress(total=3, completed=0, cancelled=0, failed=0)
DONE = BatchProgress(total=3, completed=0, cancelled=0, failed=3)
CUT = BatchProgress(total=3, completed=0, cancelled=2, failed=3)


@pytest.mark.parametrize(
    ("status", "is_over", "found", "moves", "cancels"),
    [
        ("in_progress", False, RUNS, [], False),
        ("in_progress", False, DONE, ["finalizing", "completed"], False),
        ("in_progress", False, CUT, ["finalizing", "completed"], False),
        ("in_progress", True, RUNS, [], True),
        ("in_progress", True, CUT, ["expired"], True),
        ("in_progress", True, DONE, ["finalizing", "completed"], False),
        ("cancelling", False, RUNS, [], True),
        ("cancelling", False, CUT, ["cancelled"], True),
        ("finalizing", True, DONE, ["completed"], False),
    ],
)
def test_a_batch_ends_as_what_happened_to_its_lines(
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    is_over: bool,
    found: BatchProgress,
    moves: list[str],
    cancels: bool,
) -> None:
    moved: list[tuple[list[str], str]] = []
    cancelled: list[str] = []

    def move(batch_id: str, *, start: list[str], to: str, **changes: object) -> bool:
        moved.append((start, to))
        return True

    monkeypatch.setattr("models.batch.move", move)
    monkeypatch.setattr("models.batch.progress", lambda batch_id: found)
    monkeypatch.setattr("models.batch.count", lambda batch_id, **counts: None)
    monkeypatch.setattr("models.batch.task_ids", lambda batch_id: ["t"])
    monkeypatch.setattr("console.operations.tasks.cancel", cancelled.extend)
    parts = cast(Any, None)
    runner = BatchRunner(disk=parts, rules=parts, models=list)
    monkeypatch.setattr(runner, "_file", lambda batch_id, **which: "file-1")

    runner._carry_on(_batch(status, is_over=is_over))

    assert [to for _, to in moved] == moves
    assert [start for start, _ in moved] == [[one] for one in (status, *moves)[: len(moves)]]
    assert bool(cancelled) is cancels


def _batch(status: str, *, is_over: bool) -> StoredBatch:
    fields: dict[str, Any] = dict.fromkeys(StoredBatch.__dataclass_fields__)
    return StoredBatch(**{**fields, "id": "b", "status": status, "is_over": is_over})
