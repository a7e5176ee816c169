"""Converts JSON of the API to a value, or raises UnexpectedAnswer."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from kos_client.errors import UnexpectedAnswer

T = TypeVar("T")


def parse(text: str) -> Any:
    """Raises UnexpectedAnswer for what is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnexpectedAnswer(
            f"the answer is not JSON ({error}): is this the dashboard?"
        ) from None


def member(document: object, name: str) -> Any:
    """``document[name]``; raises UnexpectedAnswer where it is missing."""
    if not isinstance(document, dict) or name not in document:
        raise UnexpectedAnswer(f"the answer has no {name}: is this the dashboard, and as new as I?")
    return document[name]


def read(kind: type[T], document: object) -> T:
    """A ``kind`` from ``document``. Unknown fields are ignored, so a newer dashboard is no problem.

    Raises UnexpectedAnswer where a field is missing or has another type.
    """
    if not isinstance(document, dict):
        raise UnexpectedAnswer(f"the answer has no {kind.__name__} where one belongs")
    values = {}
    for name, hint, is_required in _fields(kind):  # type: ignore[arg-type]
        value = document.get(name)
        if value is not None:
            values[name] = _value(hint, value, f"{kind.__name__}.{name}")
        elif is_required:
            raise UnexpectedAnswer(f"the answer has no {kind.__name__}.{name}")
    return kind(**values)


@cache
def _fields(kind: type) -> tuple[tuple[str, Any, bool], ...]:
    hints = get_type_hints(kind)
    return tuple(
        (one.name, hints[one.name], one.default is MISSING and one.default_factory is MISSING)
        for one in fields(kind)
    )


def _value(hint: Any, value: Any, name: str) -> Any:
    if isinstance(hint, UnionType):
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    shape = get_origin(hint) or hint
    if is_dataclass(hint):
        return read(hint, value)  # type: ignore[arg-type]
    if shape is tuple and isinstance(value, list):
        return tuple(_value(get_args(hint)[0], one, name) for one in value)
    if shape is datetime:
        return _moment(value, name)
    if shape is float and type(value) is int:
        return float(value)
    if not isinstance(value, shape):
        raise UnexpectedAnswer(f"{name} is {type(value).__name__}, not {shape.__name__}")
    return value


def _moment(value: Any, name: str) -> datetime:
    """A time in ISO 8601, or in seconds since 1970 as OpenAI's API has them."""
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError, OverflowError, OSError):
        raise UnexpectedAnswer(f"{name} is no time: {str(value)[:40]!r}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
