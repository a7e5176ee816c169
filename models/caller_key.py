"""API keys of the gateway's callers. Only a hash is stored: a key is displayed once, when it is
created."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

import peewee

from models.base import fetch_all

PREFIX = "kos-"
LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class CallerKey:
    """``hint`` is the end of the key, by which its owner recognises it."""

    name: str
    hint: str
    created_at: datetime
    revoked_at: datetime | None


class NameTaken(ValueError):
    """An active key of that name exists."""


def hash_of(key: str) -> str:
    """Keys are long and random, so one round of SHA-256 is enough."""
    return hashlib.sha256(key.encode()).hexdigest()


class NoName(ValueError):
    """A name that nobody could write to revoke the key."""


def add(name: str) -> str:
    """A new key for ``name``; raises NameTaken or NoName."""
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise NoName(f"name: write 1 to {LONGEST_NAME} characters in one line")
    key = PREFIX + secrets.token_urlsafe(32)
    rows = fetch_all(
        "INSERT INTO kos_keys (name, hash, hint) VALUES (%s, %s, %s) "
        "ON CONFLICT DO NOTHING RETURNING name",
        (name, hash_of(key), key[-4:]),
    )
    if not rows:
        raise NameTaken(f"a key named {name!r} exists; revoke it first, or choose another name")
    return key


def listed() -> list[CallerKey]:
    """All keys, also those that were revoked, oldest first."""
    rows = fetch_all("SELECT name, hint, created_at, revoked_at FROM kos_keys ORDER BY created_at")
    return [CallerKey(**row) for row in rows]


def revoke(name: str) -> bool:
    """Revoke the key of ``name``; False where no active one exists."""
    return bool(
        fetch_all(
            "UPDATE kos_keys SET revoked_at = now() WHERE name = %s AND revoked_at IS NULL "
            "RETURNING name",
            (name,),
        )
    )


def callers() -> dict[str, str]:
    """Hash of each active key -> its name. Empty before the gateway's first migration."""
    try:
        rows = fetch_all("SELECT hash, name FROM kos_keys WHERE revoked_at IS NULL")
    except peewee.ProgrammingError:
        return {}
    return {row["hash"]: row["name"] for row in rows}
