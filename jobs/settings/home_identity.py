"""A unique id for each home."""

from __future__ import annotations

import secrets
from pathlib import Path

IDENTITY = "identity"


def identity(home: Path) -> str:
    """The id of ``home``, created at the first call."""
    path = home / IDENTITY
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        fresh = secrets.token_hex(8)
        path.write_text(f"{fresh}\n", encoding="utf-8")
        return fresh
