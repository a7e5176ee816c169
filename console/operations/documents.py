"""Values as JSON: the fields of a dataclass by name."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any


def document(value: object) -> dict[str, Any] | None:
    """The fields of a dataclass, in order; None for any other value."""
    if not is_dataclass(value) or isinstance(value, type):
        return None
    return {field.name: getattr(value, field.name) for field in fields(value)}
