"""Whether this Redis is the one that counts the slots of this database."""

from __future__ import annotations

from enum import StrEnum

REMEDY = (
    "to work on more machines, set REDIS_URL to that Redis; to work apart, set DATABASE_URL to a "
    "database of this home's own; if that Redis is gone for good: kos up --replace-redis"
)


class Standing(StrEnum):
    """How a Redis stands to a database."""

    NEW = "new"
    """No home has worked this database yet."""
    SAME = "same"
    EMPTIED = "emptied"
    """The Redis of that address lost what it held."""
    MOVED = "moved"
    """The home that began the deployment has another Redis now; `kos up` records it."""
    FOREIGN = "foreign"
    """Another home works this database, with a Redis of its own."""


APART = frozenset({Standing.MOVED, Standing.FOREIGN})
"""What counts its slots there exceeds the limit together with the deployment."""


def standing(
    *,
    recorded_id: str | None,
    found_id: str | None,
    same_address: bool,
    same_home: bool,
) -> Standing:
    """``recorded_id`` stands in Postgres, ``found_id`` in this Redis; None where nothing does."""
    if recorded_id is None:
        return Standing.NEW
    if found_id == recorded_id:
        return Standing.SAME
    if found_id is None and same_address:
        return Standing.EMPTIED
    return Standing.MOVED if same_home else Standing.FOREIGN
