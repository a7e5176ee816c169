"""Ensures that one database uses one Redis, because the slots of a deployment are counted in one
place.

Both hold the same random id. A process that finds another id in its Redis belongs to no or another
deployment; both together would exceed every limit.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import redis

from jobs.policy.deployment import RedisStanding, standing
from jobs.queues.names import DEPLOYMENT, DEPLOYMENT_HOME
from jobs.settings.home_identity import identity
from models import deployment
from models.database import database
from models.deployment import DeploymentRecord

LOOPBACK = ("localhost", "127.0.0.1", "::1", "")


@dataclass(frozen=True, slots=True)
class Location:
    """The address of a process's Redis, and its home; ``home_id`` is empty where there is no
    home."""

    redis_at: str
    home_id: str
    home: str


def location_of(redis_url: str, home: Path) -> Location:
    """The location of this process. A loopback address and a home are unique only together with the
    host name."""
    host = socket.gethostname()
    url = urlsplit(redis_url)
    if url.scheme == "unix":
        at = f"{host}:{url.path}"
    else:
        server = host if (url.hostname or "") in LOOPBACK else url.hostname
        at = f"{server}:{url.port or 6379}/{url.path.strip('/') or 0}"
    name = f"{identity(home)}@{host}" if home.is_dir() else ""
    return Location(at, name, f"{home} on {host}")


def inspect(client: redis.Redis, here: Location) -> tuple[RedisStanding, DeploymentRecord | None]:
    """How this Redis relates to the database, and the deployment that is there already.
    Changes nothing.

    Raises RedisError or DatabaseUnavailable where one of them does not answer.
    """
    recorded, found = deployment.recorded(), _text(client.get(DEPLOYMENT))
    home_id, _, home = (_text(client.get(DEPLOYMENT_HOME)) or f"{here.home_id}\n").partition("\n")
    known_homes = {here.home_id, recorded.home_id if recorded else here.home_id}
    stands = standing(
        recorded_id=recorded.redis_id if recorded else None,
        found_id=found,
        same_address=recorded is not None and recorded.redis_at == here.redis_at,
        same_home=recorded is not None and recorded.home_id == here.home_id != "",
        redis_of_another=found is not None and home_id not in known_homes,
    )
    if stands is RedisStanding.TAKEN:
        return stands, DeploymentRecord(found or "", here.redis_at, home_id, home)
    return stands, recorded


def settle(
    client: redis.Redis, here: Location, *, replacing: Collection[RedisStanding] = ()
) -> tuple[RedisStanding, DeploymentRecord | None]:
    """:func:`inspect`, and write what is missing. A Redis whose standing is in ``replacing``
    becomes the recorded one.

    If another home is faster, the result is relative to that home's Redis.
    """
    stands, before = inspect(client, here)
    if stands in (RedisStanding.SAME, RedisStanding.EMPTIED) and before is not None:
        client.set(DEPLOYMENT, before.redis_id, nx=True)
        client.set(DEPLOYMENT_HOME, f"{before.home_id}\n{before.home}", nx=True)
    if stands is RedisStanding.NEW or stands in replacing:
        recorded = deployment.recorded()
        new = DeploymentRecord(_own_id(client, stands), here.redis_at, here.home_id, here.home)
        with database.atomic():
            written = deployment.record(new, instead_of=recorded)
        if not written:
            return inspect(client, here)
        client.set(DEPLOYMENT_HOME, f"{here.home_id}\n{here.home}")
    return stands, before


def _own_id(client: redis.Redis, stands: RedisStanding) -> str:
    """The id of this Redis; a new one if it had that of another deployment."""
    client.set(DEPLOYMENT, secrets.token_hex(8), nx=stands is not RedisStanding.TAKEN)
    return _text(client.get(DEPLOYMENT)) or ""


def _text(found: bytes | str | None) -> str | None:
    return found.decode() if isinstance(found, bytes) else found
