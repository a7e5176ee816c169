"""Which tasks a list, an export or a change in bulk is about: one value for all of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_CLAUSES = {
    "ids": "t.id = ANY(%(ids)s::uuid[])",
    "statuses": "t.status = ANY(%(statuses)s)",
    "backend": "t.backend = %(backend)s",
    "model": "t.model = %(model)s",
    "expert": "lower(e.name) = lower(%(expert)s)",
    "category": "t.category = %(category)s",
    "tag": "t.metadata -> 'tags' ? %(tag)s",
    "error": "t.last_error ILIKE %(error)s",
    "search": "(t.title ILIKE %(search)s OR t.description ILIKE %(search)s)",
    "since": "t.created_at >= %(since)s",
}
_PARTS_OF_TEXT = frozenset({"error", "search"})


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """What is None or empty does not narrow. ``error`` and ``search`` are parts of a text."""

    ids: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    backend: str | None = None
    model: str | None = None
    expert: str | None = None
    category: str | None = None
    tag: str | None = None
    error: str | None = None
    search: str | None = None
    since: datetime | None = None

    @property
    def is_empty(self) -> bool:
        return self == TaskFilter()

    def where(self) -> tuple[str, dict[str, Any]]:
        """The WHERE clause over ``tasks t`` and ``experts e``, and its parameters."""
        values = {name: getattr(self, name) for name in _CLAUSES if getattr(self, name)}
        clauses = " AND ".join(_CLAUSES[name] for name in values)
        return f"WHERE {clauses}" if clauses else "", {
            name: _parameter(name, value) for name, value in values.items()
        }


def _parameter(name: str, value: Any) -> Any:
    if name in _PARTS_OF_TEXT:  # the pattern of ILIKE that finds the text as it is written
        return "%" + re.sub(r"([\\%_])", r"\\\1", value) + "%"
    return list(value) if isinstance(value, tuple) else value
