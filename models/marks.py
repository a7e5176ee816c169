"""Keys of ``tasks.metadata`` that are written for programs of another system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg2.extras import Json

MARKED = """CASE
      WHEN %(marks)s::jsonb = '{}' AND %(unmarked)s::text[] = '{}' THEN metadata
      WHEN jsonb_typeof(coalesce(metadata, '{}')) = 'object'
        THEN (coalesce(metadata, '{}') - %(unmarked)s::text[]) || %(marks)s::jsonb
      WHEN jsonb_typeof(metadata) = 'null' THEN %(marks)s::jsonb
      WHEN jsonb_typeof(metadata) = 'string'
        THEN coalesce((%(decoded)s::jsonb - %(unmarked)s::text[]) || %(marks)s::jsonb, metadata)
      ELSE metadata END"""
"""The metadata with :class:`Marks` applied. A foreign list or number stays as it is."""


@dataclass(frozen=True, slots=True)
class Marks:
    """``values`` to write; a key with None is removed. ``decoded`` is the object in metadata that
    was encoded twice."""

    values: Mapping[str, Any] = field(default_factory=dict)
    decoded: Mapping[str, Any] | None = None

    def parameters(self) -> dict[str, Any]:
        """The parameters of :data:`MARKED`."""
        return {
            "marks": Json({key: text for key, text in self.values.items() if text is not None}),
            "unmarked": [key for key, text in self.values.items() if text is None],
            "decoded": Json(dict(self.decoded)) if self.decoded is not None else None,
        }


NO_MARKS = Marks()
