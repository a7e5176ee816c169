"""Whether this Redis is the one that counts the slots of this database."""

from __future__ import annotations

from enum import StrEnum

_TWO_REDIS = (
    "to work on more machines, set REDIS_URL to that Redis; to work apart, set DATABASE_URL to a "
    "database of this home's own; if that Redis is gone for good: kos up --replace-redis"
)
_TWO_DATABASES = (
    "to work apart, set REDIS_URL to another number of that Redis (redis://host:port/1) or to "
    "another Redis; if that database is gone for good: kos up --replace-redis"
)


class RedisStanding(StrEnum):
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
    TAKEN = "taken"
    """Another home works another database with this Redis."""


CONFLICTS = frozenset({RedisStanding.MOVED, RedisStanding.FOREIGN, RedisStanding.TAKEN})
"""Two deployments would exceed every limit, or mix their queues and caches."""


def conflict(stands: RedisStanding, *, home: str, redis_at: str) -> tuple[str, str]:
    """What is wrong with one of ``CONFLICTS``, and the remedy. ``home`` is the other one."""
    if stands is RedisStanding.TAKEN:
        return f"{home} works another database with the Redis at {redis_at}", _TWO_DATABASES
    return f"{home} works this database with the Redis at {redis_at}", _TWO_REDIS


def standing(
    *,
    recorded_id: str | None,
    found_id: str | None,
    same_address: bool,
    same_home: bool,
    redis_of_another: bool,
) -> RedisStanding:
    """``recorded_id`` stands in Postgres, ``found_id`` in this Redis; None where nothing does.
    ``redis_of_another`` home: it says so itself."""
    if found_id == recorded_id:
        return RedisStanding.NEW if recorded_id is None else RedisStanding.SAME
    if redis_of_another:
        return RedisStanding.TAKEN
    if recorded_id is None:
        return RedisStanding.NEW
    if found_id is None and same_address:
        return RedisStanding.EMPTIED
    return RedisStanding.MOVED if same_home else RedisStanding.FOREIGN
