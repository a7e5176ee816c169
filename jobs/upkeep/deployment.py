"""One database, one Redis: the slots of a deployment are counted in one place.

Both carry the same random name. Whoever finds another one in its Redis works beside the
deployment, and both together would exceed every limit.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import redis

from jobs.policy.deployment import Standing, standing
from jobs.queues.names import DEPLOYMENT
from jobs.settings.home_identity import identity
from models import deployment
from models.database import database
from models.deployment import DeploymentRecord

LOOPBACK = ("localhost", "127.0.0.1", "::1", "")


@dataclass(frozen=True, slots=True)
class Location:
    """Where a process stands: the address of its Redis, and its home; ``home_id`` is empty where
    there is no home."""

    redis_at: str
    home_id: str
    home: str


def place(redis_url: str, home: Path) -> Location:
    """A loopback address and a home mean something only together with the name of this host."""
    host = socket.gethostname()
    url = urlsplit(redis_url)
    if url.scheme == "unix":
        at = f"{host}:{url.path}"
    else:
        server = host if (url.hostname or "") in LOOPBACK else url.hostname
        at = f"{server}:{url.port or 6379}/{url.path.strip('/') or 0}"
    name = f"{identity(home)}@{host}" if home.is_dir() else ""
    return Location(at, name, f"{home} on {host}")


def look(client: redis.Redis, here: Location) -> tuple[Standing, DeploymentRecord | None]:
    """How this Redis stands to the database of this session; changes nothing.

    Raises:
        RedisError, DatabaseUnavailable: one of them does not answer.
    """
    recorded, found = deployment.recorded(), _found_id(client)
    stands = standing(
        recorded_id=recorded.redis_id if recorded else None,
        found_id=found,
        same_address=recorded is not None and recorded.redis_at == here.redis_at,
        same_home=recorded is not None and recorded.home_id == here.home_id != "",
    )
    return stands, recorded


def settle(
    client: redis.Redis, here: Location, *, replacing: Collection[Standing] = ()
) -> tuple[Standing, DeploymentRecord | None]:
    """:func:`look`, and write what is missing. A Redis that stands as ``replacing`` names becomes
    the recorded one.

    Where another home is quicker, the answer is how this Redis stands to that one.
    """
    stands, recorded = look(client, here)
    if stands is Standing.EMPTIED and recorded is not None:
        client.set(DEPLOYMENT, recorded.redis_id, nx=True)
    if stands is Standing.NEW or stands in replacing:
        new = DeploymentRecord(_own_id(client), here.redis_at, here.home_id, here.home)
        with database.atomic():
            written = deployment.record(new, instead_of=recorded)
        return (stands, recorded) if written else look(client, here)
    return stands, recorded


def _own_id(client: redis.Redis) -> str:
    client.set(DEPLOYMENT, secrets.token_hex(8), nx=True)
    return _found_id(client) or ""


def _found_id(client: redis.Redis) -> str | None:
    found = client.get(DEPLOYMENT)
    return found.decode() if isinstance(found, bytes) else found
