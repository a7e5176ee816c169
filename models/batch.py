"""Rows of files and batches. Every change of a batch's state names the state it requires."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2.extras import Json, execute_values

from models.base import fetch_all, fetch_one, value_of
from models.database import database
from models.times import within_limits

OPEN = ("validating", "in_progress", "finalizing", "cancelling")
TIMES = {
    "in_progress": "in_progress_at",
    "finalizing": "finalizing_at",
    "completed": "completed_at",
    "failed": "failed_at",
    "cancelling": "cancelling_at",
    "cancelled": "cancelled_at",
}


ID_BEGINS = "batch_"


@dataclass(frozen=True, slots=True)
class StoredFile:
    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """``errors`` and ``metadata`` are in OpenAI's format; ``is_over``: its window has passed (of
    open batches only)."""

    id: str
    input_file_id: str
    endpoint: str
    completion_window: str
    status: str
    total: int
    completed: int
    failed: int
    metadata: Any
    errors: Any
    output_file_id: str | None
    error_file_id: str | None
    created_at: datetime
    in_progress_at: datetime | None
    finalizing_at: datetime | None
    completed_at: datetime | None
    failed_at: datetime | None
    cancelling_at: datetime | None
    cancelled_at: datetime | None
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A line and its task. ``error`` is why the line was refused; without it, ``status`` None says
    that the task was deleted. ``ended_at`` is in seconds since the epoch."""

    line: int
    custom_id: str | None
    task_id: str | None
    error: Any = None
    status: str | None = None
    result: str | None = None
    last_error: str | None = None
    model: str | None = None
    ended_at: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error_code: str | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """Lines by result; ``failed`` includes the ``cancelled``."""

    total: int
    completed: int
    cancelled: int
    failed: int

    @property
    def open(self) -> int:
        return self.total - self.completed - self.failed


def new_id(kind: str) -> str:
    """``file-...`` or ``batch_...``."""
    return f"{kind}{secrets.token_hex(12)}"


def add_file(file_id: str, *, filename: str, purpose: str, size_bytes: int) -> StoredFile:
    fetch_all(
        "INSERT INTO kos_files (id, filename, purpose, bytes) VALUES (%s, %s, %s, %s)",
        (file_id, filename, purpose, size_bytes),
    )
    found = file(file_id)
    assert found is not None
    return found


def file(file_id: str) -> StoredFile | None:
    row = fetch_one("SELECT * FROM kos_files WHERE id = %s", (file_id,))
    return value_of(StoredFile, row) if row else None


def files(*, purpose: str | None, after: str | None, limit: int) -> list[StoredFile]:
    """Newest first, those older than ``after``."""
    rows = fetch_all(
        "SELECT * FROM kos_files WHERE (%(purpose)s::text IS NULL OR purpose = %(purpose)s) "
        "AND (%(after)s::text IS NULL OR (created_at, id) < "
        "(SELECT created_at, id FROM kos_files WHERE id = %(after)s)) "
        "ORDER BY created_at DESC, id DESC LIMIT %(limit)s",
        {"purpose": purpose, "after": after, "limit": limit},
    )
    return [value_of(StoredFile, row) for row in rows]


def delete_file(file_id: str) -> bool:
    return bool(fetch_all("DELETE FROM kos_files WHERE id = %s RETURNING id", (file_id,)))


def add_batch(
    *, input_file_id: str, endpoint: str, completion_window: str, metadata: Mapping[str, Any] | None
) -> StoredBatch:
    batch_id = new_id(ID_BEGINS)
    fetch_all(
        "INSERT INTO kos_batches (id, input_file_id, endpoint, completion_window, metadata) "
        "VALUES (%s, %s, %s, %s, %s)",
        (batch_id, input_file_id, endpoint, completion_window,
         Json(dict(metadata)) if metadata else None),
    )  # fmt: skip
    found = batch(batch_id)
    assert found is not None
    return found


def batch(batch_id: str) -> StoredBatch | None:
    row = fetch_one("SELECT * FROM kos_batches WHERE id = %s", (batch_id,))
    return value_of(StoredBatch, row) if row else None


def batches(*, after: str | None, limit: int) -> list[StoredBatch]:
    rows = fetch_all(
        "SELECT * FROM kos_batches WHERE %(after)s::text IS NULL OR (created_at, id) < "
        "(SELECT created_at, id FROM kos_batches WHERE id = %(after)s) "
        "ORDER BY created_at DESC, id DESC LIMIT %(limit)s",
        {"after": after, "limit": limit},
    )
    return [value_of(StoredBatch, row) for row in rows]


def open_batches() -> list[StoredBatch]:
    rows = fetch_all(
        "SELECT *, created_at + completion_window::interval <= now() AS is_over "
        "FROM kos_batches WHERE status IN "
        "('validating', 'in_progress', 'finalizing', 'cancelling') ORDER BY created_at"
    )
    return [value_of(StoredBatch, row) for row in rows]


def move(batch_id: str, *, start: Sequence[str], to: str, **changes: Any) -> bool:
    """Change the state from ``start`` to ``to`` with further columns; False if it was no longer
    ``start``.

    ``expired`` has no column of its own: its time is the end of the window.
    """
    values = {name: Json(value) if isinstance(value, dict) else value
              for name, value in changes.items()}  # fmt: skip
    sets = "".join(f", {name} = %({name})s" for name in values)
    sets += f", {TIMES[to]} = now()" if to in TIMES else ""
    rows = fetch_all(
        f"UPDATE kos_batches SET status = %(to)s{sets} "
        "WHERE id = %(id)s AND status = ANY(%(start)s) RETURNING id",
        {"id": batch_id, "to": to, "start": list(start), **values},
    )
    return bool(rows)


def count(batch_id: str, *, total: int, completed: int, failed: int) -> None:
    fetch_all(
        "UPDATE kos_batches SET total = %s, completed = %s, failed = %s WHERE id = %s",
        (total, completed, failed, batch_id),
    )


def add_lines(batch_id: str, lines: Sequence[tuple[int, str | None, str | None, Any]]) -> None:
    """Insert (line, custom_id, task id, error); existing lines stay unchanged."""
    execute_values(
        database.cursor(),
        "INSERT INTO kos_batch_lines (batch_id, line, custom_id, task_id, error) VALUES %s "
        "ON CONFLICT DO NOTHING",
        [(batch_id, line, custom_id, task_id, Json(error) if error else None)
         for line, custom_id, task_id, error in lines],
        template="(%s, %s, %s, %s::uuid, %s)",
        page_size=1000,
    )  # fmt: skip


def progress(batch_id: str) -> BatchProgress:
    row = fetch_one(
        """
        SELECT count(*) AS total,
          count(*) FILTER (WHERE t.status = 'completed') AS completed,
          count(*) FILTER (WHERE t.status = 'cancelled') AS cancelled,
          count(*) FILTER (WHERE l.error IS NOT NULL OR t.status IN ('failed', 'cancelled')
            OR (l.task_id IS NOT NULL AND t.id IS NULL)) AS failed
        FROM kos_batch_lines l LEFT JOIN tasks t ON t.id = l.task_id WHERE l.batch_id = %s
        """,
        (batch_id,),
    )
    assert row is not None
    return BatchProgress(**row)


def failures(batch_id: str, *, limit: int) -> list[BatchLine]:
    """The first lines that were refused or whose tasks failed or were cancelled."""
    rows = fetch_all(
        """
        SELECT l.line, l.custom_id, l.error, l.task_id::text AS task_id, t.status, t.last_error
        FROM kos_batch_lines l LEFT JOIN tasks t ON t.id = l.task_id
        WHERE l.batch_id = %s AND (l.error IS NOT NULL OR t.status IN ('failed', 'cancelled')
          OR (l.task_id IS NOT NULL AND t.id IS NULL))
        ORDER BY l.line LIMIT %s
        """,
        (batch_id, limit),
    )
    return [value_of(BatchLine, row) for row in rows]


def task_ids(batch_id: str) -> list[str]:
    rows = fetch_all(
        "SELECT task_id::text AS id FROM kos_batch_lines "
        "WHERE batch_id = %s AND task_id IS NOT NULL ORDER BY line",
        (batch_id,),
    )
    return [row["id"] for row in rows]


def results(batch_id: str, *, after_line: int, limit: int) -> list[BatchLine]:
    """Lines in order, with the results of their tasks."""
    rows = fetch_all(
        f"""
        SELECT l.line, l.custom_id, l.error, l.task_id::text AS task_id, t.status, t.result,
          t.last_error, t.model,
          extract(epoch FROM {within_limits("t.completed_at")})::bigint AS ended_at,
          a.prompt_tokens, a.completion_tokens, a.error_code, a.finish_reason
        FROM kos_batch_lines l LEFT JOIN tasks t ON t.id = l.task_id
        LEFT JOIN kos_attempts a ON a.task_id = t.id AND a.epoch = t.epoch
        WHERE l.batch_id = %s AND l.line > %s ORDER BY l.line LIMIT %s
        """,
        (batch_id, after_line, limit),
    )
    return [value_of(BatchLine, row) for row in rows]
