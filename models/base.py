"""Shared by all row classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import peewee
import psycopg2.errors

from models.database import database

Row = dict[str, Any]
Value = TypeVar("Value")
LOCKED_ROW_SECONDS = 0.5
"""Longer than a statement of ours locks a row; transactions of people may lock it far longer."""


class BaseRow(peewee.Model):
    class Meta:
        database = database


def fetch_all(sql: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> list[Row]:
    """Run ``sql`` in this thread's session; rows as dictionaries by column name."""
    cursor = database.execute_sql(sql, parameters)
    if cursor.description is None:
        return []
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def fetch_one(sql: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> Row | None:
    rows = fetch_all(sql, parameters)
    return rows[0] if rows else None


def fetch_soon(sql: str, parameters: Mapping[str, Any]) -> list[Row]:
    """:func:`fetch_all`, but no rows where another transaction keeps one locked.

    Only outside of a transaction: both statements are sent together and form one transaction.
    """
    try:
        return fetch_all(f"SET LOCAL lock_timeout = '{LOCKED_ROW_SECONDS}s'; {sql}", parameters)
    except peewee.OperationalError as error:
        # A person may hold the lock for hours; the caller goes on without the row.
        if isinstance(error.__context__, psycopg2.errors.LockNotAvailable):
            return []
        raise


def as_utc(value: datetime | None) -> datetime | None:
    """The time in UTC. Adopted tables may hold times without a zone, which are read as UTC."""
    if value is None or value.tzinfo is not None:
        return value
    return value.replace(tzinfo=UTC)


def read_utc(value: datetime) -> datetime:
    """:func:`as_utc` of a column that is never null."""
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def value_of(kind: type[Value], row: Row) -> Value:
    """Build the dataclass ``kind`` from the columns that its fields name, with times in UTC.

    A field whose column the query does not read keeps its default.
    """
    names = [name for name in kind.__dataclass_fields__ if name in row]  # type: ignore[attr-defined]
    return kind(**in_utc({name: row[name] for name in names}))


def in_utc(row: Mapping[str, Any]) -> Row:
    """The row with every time converted by :func:`as_utc`."""
    return {
        name: as_utc(value) if isinstance(value, datetime) else value for name, value in row.items()
    }
