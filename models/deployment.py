"""Which Redis and which home belong to this database."""

from __future__ import annotations

from dataclasses import dataclass

from models.base import fetch_all, fetch_one


@dataclass(frozen=True, slots=True)
class DeploymentRecord:
    """``redis_id`` is also stored in that Redis; ``redis_at`` is its address.

    ``home`` is a path for display, ``home_id`` identifies one ``KOS_HOME`` of one host.
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
    """Replace ``instead_of`` by ``new``; False if another process changed the row first."""
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
