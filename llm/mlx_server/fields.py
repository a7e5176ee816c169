"""Reads the fields of a JSON body: a value of the right type, or a 400 that names the field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llm.mlx_server.errors import InvalidRequest

MAX_INTEGER = 2**53


def parse_body(raw: bytes) -> dict[str, Any]:
    """The JSON object in ``raw``. Raises InvalidRequest for anything else."""
    try:
        body = json.loads(raw)
    except RecursionError as error:
        raise InvalidRequest("the body is nested too deeply") from error
    except ValueError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object")
    return body


class Fields:
    """A JSON object whose fields are read by type. ``null`` counts as absent."""

    def __init__(self, body: Mapping[str, Any], *, path: str = "") -> None:
        self._body = body
        self._path = path

    def name(self, key: str) -> str:
        """The field's path for error messages, such as ``options.temperature``."""
        return f"{self._path}{key}"

    def has(self, key: str) -> bool:
        return self._body.get(key) is not None

    def raw(self, key: str) -> Any:
        return self._body.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        value = self._body.get(key)
        if value is None and default is not None:
            return default
        if value is None:
            raise InvalidRequest("is required", field=self.name(key))
        return checked_text(value, field=self.name(key))

    def flag(self, key: str, *, default: bool) -> bool:
        value = self._body.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def integer(self, key: str, default: int, *, low: int, high: int = MAX_INTEGER) -> int:
        value = self._body.get(key)
        if value is None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._wrong(key, f"an integer from {low} to {high}")
        return value

    def number(self, key: str, default: float, *, low: float, high: float) -> float:
        value = self._body.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._wrong(key, f"a number from {low:g} to {high:g}")
        if not low <= value <= high:  # Also false for NaN.
            raise self._wrong(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def texts(self, key: str, *, most: int) -> tuple[str, ...]:
        """One string or a list of them; none may be empty."""
        value = self._body.get(key)
        if value is None:
            return ()
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or len(values) > most:
            raise self._wrong(key, f"a string or a list of at most {most} strings")
        texts = tuple(checked_text(each, field=self.name(key)) for each in values)
        if not all(texts):
            raise self._wrong(key, "free of empty strings")
        return texts

    def inner(self, key: str) -> Fields:
        """The object under ``key``; an empty one when absent."""
        value = self._body.get(key, {})
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self._wrong(key, "an object")
        return Fields(value, path=f"{self.name(key)}.")

    def refuse(self, *keys: str) -> None:
        """Reject a field that is set but not supported, rather than ignore it silently."""
        for key in keys:
            if self._body.get(key):
                raise InvalidRequest("is not supported by this server", field=self.name(key))

    def _wrong(self, key: str, expected: str) -> InvalidRequest:
        return InvalidRequest(f"must be {expected}", field=self.name(key))


def checked_text(value: object, *, field: str) -> str:
    """``value`` if it is a string that UTF-8 can carry (no lone surrogate)."""
    if not isinstance(value, str):
        raise InvalidRequest("must be a string", field=field)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest("must be valid Unicode", field=field) from error
    return value
