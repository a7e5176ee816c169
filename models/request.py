"""The request log of the gateway: one row for each request of a person or a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date, datetime

from psycopg2.extras import execute_values

from models.base import fetch_all
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


@dataclass(frozen=True, slots=True)
class CallerUsage:
    """The requests of one caller on one day; ``failed`` were answered with an error."""

    day: date
    caller: str
    requests: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float


def usage_by_day(days: int) -> list[CallerUsage]:
    """Newest day first, then by caller."""
    rows = fetch_all(
        "SELECT at::date AS day, caller, count(*) AS requests, "
        "count(*) FILTER (WHERE status >= 400) AS failed, "
        "coalesce(sum(prompt_tokens), 0) AS prompt_tokens, "
        "coalesce(sum(completion_tokens), 0) AS completion_tokens, "
        "coalesce(sum(duration_seconds), 0) AS seconds "
        "FROM kos_requests WHERE at > now() - %s * interval '1 day' "
        "GROUP BY 1, 2 ORDER BY 1 DESC, 2",
        (days,),
    )
    return [CallerUsage(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class LastRequest:
    """A row of the request log, without its text."""

    at: datetime
    caller: str
    asked: str
    status: int
    backend: str | None
    model: str | None
    queue_seconds: float
    load_seconds: float
    first_token_seconds: float | None
    duration_seconds: float
    completion_tokens: int | None
    error: str | None


def newest(limit: int) -> list[LastRequest]:
    """Newest first."""
    columns = ", ".join(field.name for field in fields(LastRequest))
    rows = fetch_all(f"SELECT {columns} FROM kos_requests ORDER BY at DESC LIMIT %s", (limit,))
    return [LastRequest(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class ServedCall:
    """Times of one answered request. ``first_token_seconds`` and ``duration_seconds`` count from
    ``at``: they include the queue and the load."""

    backend: str
    at: datetime
    queue_seconds: float
    load_seconds: float
    first_token_seconds: float
    duration_seconds: float


def served_since(since: datetime, *, newest: int) -> list[ServedCall]:
    """The newest ``newest`` answered requests since then, oldest first."""
    rows = fetch_all(
        "SELECT backend, at, queue_seconds, load_seconds, first_token_seconds, duration_seconds "
        "FROM kos_requests WHERE at > %s AND backend IS NOT NULL "
        "AND first_token_seconds IS NOT NULL ORDER BY at DESC LIMIT %s",
        (since, newest),
    )
    return [ServedCall(**row) for row in reversed(rows)]


@dataclass(frozen=True, slots=True)
class MeasuredRequest:
    """An answered request, for learning. ``first_token_seconds`` is without queue and load,
    ``decode_seconds`` from the first token to the end."""

    backend: str
    model: str
    ended_at: datetime
    load_seconds: float
    first_token_seconds: float
    decode_seconds: float
    completion_tokens: int | None


def samples(of_each_model: int = 50, *, newest: int = 5000) -> list[MeasuredRequest]:
    """The newest answered requests of each model, among the ``newest`` of all."""
    rows = fetch_all(
        "SELECT backend, model, at + duration_seconds * interval '1 second' AS ended_at, "
        "load_seconds, greatest(0, first_token_seconds - queue_seconds - load_seconds) "
        "AS first_token_seconds, duration_seconds - first_token_seconds AS decode_seconds, "
        "completion_tokens FROM (SELECT *, row_number() OVER (PARTITION BY backend, model "
        "ORDER BY at DESC) AS place FROM (SELECT * FROM kos_requests ORDER BY at DESC LIMIT %s) "
        "latest WHERE status = 200 AND backend IS NOT NULL AND model IS NOT NULL "
        "AND first_token_seconds IS NOT NULL) ranked WHERE place <= %s",
        (newest, of_each_model),
    )
    return [MeasuredRequest(**row) for row in rows]


def pauses(backend: str, model: str, *, newest: int) -> list[float]:
    """Seconds between the end of a request for this model there and the next one, oldest first."""
    rows = fetch_all(
        "SELECT extract(epoch FROM at - ended)::float AS seconds FROM (SELECT at, "
        "lag(at + duration_seconds * interval '1 second') OVER (ORDER BY at) AS ended FROM ("
        "SELECT at, duration_seconds FROM kos_requests WHERE backend = %s AND model = %s "
        "AND at > now() - interval '7 days' ORDER BY at DESC LIMIT %s) latest) pairs "
        "WHERE at > ended ORDER BY at",
        (backend, model, newest + 1),
    )
    return [row["seconds"] for row in rows]


@dataclass(frozen=True, slots=True)
class HourSums:
    """Requests of the last hour at one backend, by the first digit of their status."""

    backend: str
    status_class: int
    count: int
    queue_seconds: float


def of_last_hour() -> list[HourSums]:
    """By backend (empty where none was chosen) and class of status."""
    rows = fetch_all(
        "SELECT coalesce(backend, '') AS backend, status / 100 AS status_class, "
        "count(*) AS count, coalesce(sum(queue_seconds), 0) AS queue_seconds "
        "FROM kos_requests WHERE at > now() - interval '1 hour' GROUP BY 1, 2"
    )
    return [HourSums(**row) for row in rows]


def prune(keep_days: float) -> int:
    """Delete requests older than ``keep_days``; how many."""
    cursor = database.execute_sql(
        "DELETE FROM kos_requests WHERE at < now() - %s * interval '1 day'", (keep_days,)
    )
    return int(cursor.rowcount)
