"""Reads times that Postgres can hold and Python cannot: infinite, before year 1, beyond year 9999.

Any row may hold one, and an unreadable row would stop all planning.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg2.extensions as pg

EARLIEST = datetime(1000, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""Far from the limits of Python's calendar, so that small offsets can be added and subtracted."""

TIMESTAMPTZ_OID, TIMESTAMP_OID = 1184, 1114

Caster = Callable[[Any, Any], Any]


def within_limits(column: str) -> str:
    """SQL for a time that can be subtracted: before Postgres 17 an infinite one is an error, later
    the result is infinite."""
    first, last = (f"timestamptz '{limit.isoformat()}'" for limit in (EARLIEST, LATEST))
    # No greatest() and least(): they would make a limit of NULL.
    return (
        f"CASE WHEN {column} < {first} THEN {first} "
        f"WHEN {column} > {last} THEN {last} ELSE {column} END"
    )


def register() -> None:
    """Make every connection of this process read such times as the nearest limit."""
    for oid, name, caster in (
        (TIMESTAMPTZ_OID, "kos_timestamptz", pg.PYDATETIMETZ),
        (TIMESTAMP_OID, "kos_timestamp", pg.PYDATETIME),
    ):
        pg.register_type(pg.new_type((oid,), name, _bounded(caster)))


def _bounded(cast: Caster) -> Caster:
    def read(text: Any, cursor: Any) -> datetime | None:
        if text is None:
            return None
        try:
            moment: datetime = cast(text, cursor)
        except (ValueError, OverflowError):
            moment = EARLIEST if text.endswith("BC") else LATEST
        if moment.year < EARLIEST.year:
            return EARLIEST.replace(tzinfo=moment.tzinfo)
        if moment.year >= LATEST.year:
            return LATEST.replace(tzinfo=moment.tzinfo)
        return moment

    return read
