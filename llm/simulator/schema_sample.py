"""A valid instance of a JSON schema, the same for the same schema and prompt.

It replaces constrained decoding: the answer to a request with a schema is valid under it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import referencing
import referencing.exceptions

from llm.simulator.answers import keywords

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

Schema = dict[str, Any] | bool
_MAX_DEPTH = 12
_FULL_DEPTH = 4  # Below this depth optional properties are left out, so that recursive schemas end.
_FORMATS = {
    "date": "2026-03-14",
    "date-time": "2026-03-14T09:26:53Z",
    "time": "09:26:53Z",
    "duration": "P3D",
    "email": "expert@example.org",
    "hostname": "example.org",
    "ipv4": "192.0.2.7",
    "ipv6": "2001:db8::7",
    "uri": "https://example.org/item",
    "uri-reference": "/item",
    "uuid": "3f2b8c1e-6a4d-4e7b-9c0a-5d1e2f3a4b5c",
}
_PATTERN_TRIES = ("A1", "abc", "ABC", "a", "A", "1", "42", "2026", "2026-03-14", "12:30", "A-1",
                  "AB-123", "ABC-1234", "+15550100", "#a1b2c3", "1.2.3", "a_b", "")  # fmt: skip


_MOST = 10_000  # The most items, characters or properties that a schema may require.
_BEYOND_US = (
    AttributeError,
    ArithmeticError,
    LookupError,
    RecursionError,
    TypeError,
    re.error,
    referencing.exceptions.Unresolvable,
)


class UnsupportedSchemaError(ValueError):
    """No instance was found: the schema is invalid, or uses unsupported keywords."""


def sample(schema: Any, *, prompt: str) -> Any:
    """A JSON value that is valid under `schema`, with texts from the words of `prompt`. Raises
    UnsupportedSchemaError."""
    from jsonschema.exceptions import SchemaError, ValidationError

    try:
        validator = _validator(schema)
        validator.check_schema(schema)
        instance = _Sampler(schema, words=list(keywords(prompt))).value(schema, depth=0)
        validator.validate(instance)
    except (SchemaError, ValidationError) as error:
        raise UnsupportedSchemaError(f"no instance of the schema: {error.message}") from error
    except _BEYOND_US as error:
        raise UnsupportedSchemaError(f"the schema is not supported: {error!r}") from error
    return instance


def fits(value: Any, schema: Any) -> bool:
    """True when `value` is valid under `schema`."""
    return bool(_validator(schema).is_valid(value))


class _Sampler:
    def __init__(self, root: Any, *, words: list[str]) -> None:
        self._root = root
        self._words = words
        self._turn = 0

    def value(self, schema: Schema, *, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise UnsupportedSchemaError("the schema is nested too deeply")
        if isinstance(schema, bool):
            return {}
        schema = self._resolved(schema, depth=depth)
        for fixed in ("const", "default"):
            if fixed in schema and fits(schema[fixed], schema):
                return schema[fixed]
        if "enum" in schema:
            return schema["enum"][self._next() % len(schema["enum"])]
        return self._makers()[_type_of(schema)](schema, depth)

    def _makers(self) -> dict[str, Callable[[dict[str, Any], int], Any]]:
        return {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._number,
            "boolean": lambda _schema, _depth: self._next() % 2 == 0,
            "null": lambda _schema, _depth: None,
        }

    def _resolved(self, schema: dict[str, Any], *, depth: int) -> dict[str, Any]:
        merged = {key: part for key, part in schema.items() if key not in _COMBINING}
        for part in _parts(schema, depth=depth):
            if isinstance(part, dict):
                merged = _merge(merged, self._resolved(self._followed(part), depth=depth))
        if "$ref" in merged:
            target = self._followed({"$ref": merged.pop("$ref")})
            merged = _merge(merged, self._resolved(target, depth=depth))
        return merged

    def _followed(self, schema: dict[str, Any]) -> dict[str, Any]:
        for _ in range(_MAX_DEPTH):
            reference = schema.get("$ref")
            if reference is None:
                return schema
            if not reference.startswith("#"):
                raise UnsupportedSchemaError(f"only local references are followed: {reference}")
            target = self._root
            for step in filter(None, reference[1:].split("/")):
                target = target[step.replace("~1", "/").replace("~0", "~")]
            rest = {key: part for key, part in schema.items() if key != "$ref"}
            schema = _merge(rest, target)
        raise UnsupportedSchemaError("references lead in a circle")

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties: dict[str, Schema] = schema.get("properties", {})
        required = schema.get("required", [])
        names = [name for name in properties if depth < _FULL_DEPTH or name in required]
        sample = {name: self.value(properties[name], depth=depth + 1) for name in names}
        extra = schema.get("additionalProperties", True)
        missing = [name for name in required if name not in sample]
        while len(sample) + len(missing) < _least(schema, "minProperties"):
            missing.append(f"item_{len(sample) + len(missing)}")
        for name in missing:
            sample[name] = self._text() if extra is True else self.value(extra, depth=depth + 1)
        return sample

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        first = [self.value(part, depth=depth + 1) for part in schema.get("prefixItems", [])]
        least = _least(schema, "minItems")
        wanted = max(least, min(2, schema.get("maxItems", 2)) if depth < _FULL_DEPTH else 0)
        items = schema.get("items", {"type": "string"})
        if items is False:
            return first
        for _ in range(wanted * 4):
            if len(first) >= wanted:
                break
            item = self.value(items, depth=depth + 1)
            if not schema.get("uniqueItems") or item not in first:
                first.append(item)
        return first

    def _string(self, schema: dict[str, Any], _depth: int) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        if "pattern" in schema:
            return next((one for one in self._tries() if fits(one, schema)), "")
        text = self._text()
        while len(text) < _least(schema, "minLength"):
            text += f" {self._word()}"
        return text[: schema.get("maxLength", len(text))]

    def _tries(self) -> Iterator[str]:
        yield from _PATTERN_TRIES
        yield from self._words
        yield from (word.lower() for word in self._words)

    def _integer(self, schema: dict[str, Any], _depth: int) -> int:
        step = math.ceil(schema.get("multipleOf", 1))
        low, high = _bounds(schema, smallest=1)
        start = math.ceil(low / step) * step
        room = max(0, math.floor((high - start) / step))
        return int(start + (self._next() % (room + 1)) * step)

    def _number(self, schema: dict[str, Any], _depth: int) -> float:
        step = schema.get("multipleOf")
        if step is not None:
            low, _ = _bounds(schema, smallest=step)
            return float(step * math.ceil(low / step))
        low, high = _bounds(schema, smallest=1e-6)
        return round(low + (high - low) * (0.4 + 0.1 * (self._next() % 5)), 6)

    def _text(self) -> str:
        return f"{self._word()} {self._word()} {self._word()}"

    def _word(self) -> str:
        return self._words[self._next() % len(self._words)]

    def _next(self) -> int:
        self._turn += 1
        return self._turn - 1


_COMBINING = ("allOf", "anyOf", "oneOf")


def _parts(schema: dict[str, Any], *, depth: int) -> Iterator[Schema]:
    yield from schema.get("allOf", ())
    for choice in ("anyOf", "oneOf"):
        options = schema.get(choice)
        if options:
            # At this depth the last option is used: by custom it is null, so that recursion ends.
            yield options[-1] if depth >= _FULL_DEPTH else options[0]


def _merge(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    merged = {**other, **one}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**other["properties"], **one["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = [*other["required"], *one["required"]]
    return merged


def _least(schema: dict[str, Any], name: str) -> int:
    least = int(schema.get(name, 0))
    if least > _MOST:
        raise UnsupportedSchemaError(f"{name} is above {_MOST}")
    return least


def _type_of(schema: dict[str, Any]) -> str:
    named = schema.get("type")
    if isinstance(named, list):
        return str(named[0])
    if named is not None:
        return str(named)
    for key, implied in _IMPLIED_TYPES.items():
        if key in schema:
            return implied
    return "object" if not schema else "string"


_IMPLIED_TYPES = {
    "properties": "object",
    "required": "object",
    "additionalProperties": "object",
    "items": "array",
    "prefixItems": "array",
    "minItems": "array",
    "minimum": "number",
    "maximum": "number",
    "multipleOf": "number",
}


def _bounds(schema: dict[str, Any], *, smallest: float) -> tuple[float, float]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + smallest
    if "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - smallest
    if low is None:
        low = 1 if high is None or high >= 1 else high - 1
    return low, low + 9 if high is None else high


def _validator(schema: Any) -> Validator:
    from jsonschema import validators

    # An empty registry: references to other documents must not be fetched from the network.
    validator_class = validators.validator_for(schema)
    return validator_class(schema, registry=referencing.Registry())
