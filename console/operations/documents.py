"""Values as JSON: the fields of a dataclass by name."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def document(value: object) -> dict[str, Any] | None:
    """The fields of a dataclass, in order; None for any other value."""
    return fields_of(value) if is_dataclass(value) and not isinstance(value, type) else None


def fields_of(value: DataclassInstance) -> dict[str, Any]:
    """The fields of a dataclass by name, the values as they are."""
    return {field.name: getattr(value, field.name) for field in fields(value)}
