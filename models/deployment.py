"""The deployment that works this database: its Redis, and the home that began it."""

from __future__ import annotations

from dataclasses import dataclass

from models.base import fetch_all, fetch_one


@dataclass(frozen=True, slots=True)
class DeploymentRecord:
    """``redis_id`` stands in that Redis too; ``redis_at`` is its address.

    ``home`` is a path for people, ``home_id`` names one ``KOS_HOME`` of one host.
    """

    redis_id: str
    redis_at: str
    home_id: str
    home: str


def recorded() -> DeploymentRecord | None:
    """None before the first `kos up` on this database."""
    row = fetch_one("SELECT redis_id, redis_at, home_id, home FROM kos_deployment")
    return None if row is None else DeploymentRecord(**row)


def record(new: DeploymentRecord, *, instead_of: DeploymentRecord | None) -> bool:
    """Write ``new`` where ``instead_of`` still stands; False where somebody else was quicker."""
    values = (new.redis_id, new.redis_at, new.home_id, new.home)
    if instead_of is None:
        statement = (
            "INSERT INTO kos_deployment (redis_id, redis_at, home_id, home) "
            "VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING redis_id"
        )
        return bool(fetch_all(statement, values))
    statement = (
        "UPDATE kos_deployment SET redis_id = %s, redis_at = %s, home_id = %s, home = %s, "
        "since = now() WHERE redis_id = %s RETURNING redis_id"
    )
    return bool(fetch_all(statement, (*values, instead_of.redis_id)))
