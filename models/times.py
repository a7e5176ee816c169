"""Times as Postgres holds them and Python cannot: infinite, before year 1, beyond year 9999.

Any row may hold one, and a row that cannot be read would stop everybody's work.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg2.extensions as pg

EARLIEST = datetime(1000, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""Far from the ends of Python's calendar, so that a little may be added and taken away."""

TIMESTAMPTZ_OID, TIMESTAMP_OID = 1184, 1114

Caster = Callable[[Any, Any], Any]


def register() -> None:
    """Let every connection of this process read such times as the nearest of the two ends."""
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
