"""What the database server reports about itself, and its notifications."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from models.base import fetch_all

TASKS_CHANNEL = "kos_tasks"
"""The channel on which triggers announce that a task may be planned."""
ENCODING = "UTF8"
ENCODING_REMEDY = (
    "make one with CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0, pg_dump the old into it"
)


@dataclass(frozen=True, slots=True)
class ServerState:
    """``version`` as in ``server_version_num`` (150004: 15.4); ``encoding`` of the database."""

    version: int
    now: datetime
    encoding: str


def state() -> ServerState:
    """Version, clock and encoding."""
    row = fetch_all(
        "SELECT current_setting('server_version_num')::int AS version, now() AS now, "
        "current_setting('server_encoding') AS encoding"
    )[0]
    return ServerState(**row)


def ping() -> None:
    """One round trip."""
    fetch_all("SELECT 1 AS one")


def notify(channel: str, payload: str) -> None:
    """Send a notification on a channel."""
    fetch_all("SELECT pg_notify(%s, %s)", (channel, payload))
