"""The name of a home that no other home has."""

from __future__ import annotations

import secrets
from pathlib import Path

IDENTITY = "identity"


def identity(home: Path) -> str:
    """The name of ``home``, made at its first call."""
    path = home / IDENTITY
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        fresh = secrets.token_hex(8)
        path.write_text(f"{fresh}\n", encoding="utf-8")
        return fresh
