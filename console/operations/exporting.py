"""Every matching task, streamed: flat memory however many there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from models.base import Row, as_utc, fetch_all
from models.database import database
from models.task_views import COLUMNS, FROM

PAGE_ROWS = 1000

_DECLARE = f"""
DECLARE kos_export NO SCROLL CURSOR FOR SELECT {COLUMNS} {FROM}
WHERE (%(statuses)s::text[] IS NULL OR t.status = ANY(%(statuses)s::text[]))
  AND (%(since)s::timestamptz IS NULL OR t.created_at >= %(since)s)
ORDER BY t.created_at, t.id
"""


def exported(*, statuses: Sequence[str] = (), since: datetime | None = None) -> Iterator[Row]:
    """Tasks oldest first, as they stood when the export began. Needs a session."""
    # A cursor of the server lives in a transaction; peewee's connections commit by themselves.
    with database.atomic():
        fetch_all(_DECLARE, {"statuses": list(statuses) or None, "since": since})
        while rows := fetch_all(f"FETCH FORWARD {PAGE_ROWS} FROM kos_export"):
            for row in rows:
                yield _in_utc(row)
        fetch_all("CLOSE kos_export")


def matching_ids(*, statuses: Sequence[str], since: datetime | None = None) -> list[str]:
    """The ids alone, oldest first."""
    rows = fetch_all(
        "SELECT id::text FROM tasks WHERE status = ANY(%(statuses)s::text[]) "
        "AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s) ORDER BY created_at, id",
        {"statuses": list(statuses), "since": since},
    )
    return [row["id"] for row in rows]


def _in_utc(row: Row) -> Row:
    return {
        name: as_utc(value) if isinstance(value, datetime) else value for name, value in row.items()
    }
