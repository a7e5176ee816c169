"""The ledger of the gateway: one row for each request of a person or a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime

from psycopg2.extras import execute_values

from models.database import database


@dataclass(frozen=True, slots=True)
class NewRequest:
    """``asked`` is the model name as the caller wrote it; durations in seconds. ``text`` is None
    unless texts are kept (``KOS_GATEWAY_LOG_TEXTS``)."""

    at: datetime
    caller: str
    api: str
    asked: str
    status: int
    backend: str | None
    model: str | None
    queue_seconds: float
    load_seconds: float
    first_token_seconds: float | None
    duration_seconds: float
    prompt_tokens: int | None
    completion_tokens: int | None
    error: str | None
    text: str | None


_COLUMNS = ", ".join(field.name for field in fields(NewRequest))


def record(rows: Sequence[NewRequest]) -> None:
    """Insert ``rows`` in one statement."""
    with database.atomic(), database.connection().cursor() as cursor:
        execute_values(
            cursor,
            f"INSERT INTO kos_requests ({_COLUMNS}) VALUES %s",
            [astuple(row) for row in rows],
        )


def usage_by_day(days: int) -> list[dict[str, object]]:
    """Requests, tokens and seconds by caller and day, newest day first."""
    cursor = database.execute_sql(
        "SELECT at::date AS day, caller, count(*) AS requests, "
        "count(*) FILTER (WHERE status >= 400) AS failed, "
        "coalesce(sum(prompt_tokens), 0) AS prompt_tokens, "
        "coalesce(sum(completion_tokens), 0) AS completion_tokens, "
        "coalesce(sum(duration_seconds), 0) AS seconds "
        "FROM kos_requests WHERE at > now() - %s * interval '1 day' "
        "GROUP BY 1, 2 ORDER BY 1 DESC, 2",
        (days,),
    )
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def prune(keep_days: float) -> int:
    """Delete requests older than ``keep_days``; how many."""
    cursor = database.execute_sql(
        "DELETE FROM kos_requests WHERE at < now() - %s * interval '1 day'", (keep_days,)
    )
    return int(cursor.rowcount)
