"""JSON Schemas written by strangers: checked before use, never fetched from a network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jsonschema
import referencing
from jsonschema.protocols import Validator

MAX_SCHEMA_NODES = 5000
MAX_PATTERN_CHARS = 500
# A repeat of a group that itself ends in a repeat, such as (a+)+, can be exponential.
_NESTED_REPEAT = re.compile(r"[+*}]\)(?:[+*]|\{\d*,)")


def schema_problem(schema: object) -> str | None:
    """Why ``schema`` cannot be used as a response schema, or None."""
    if not isinstance(schema, Mapping):
        return 'expected a JSON Schema object; write {"type": "object", ...}'
    unusable = _unusable_part(schema)
    if unusable is not None:
        return unusable
    try:
        jsonschema.validators.validator_for(
            schema, default=jsonschema.Draft202012Validator
        ).check_schema(dict(schema))
    except jsonschema.SchemaError as error:
        return f"is not a valid JSON Schema: at {error.json_path}: {error.message:.200}"
    except RecursionError:
        return "is nested too deeply"
    return None


def validator_of(schema: Mapping[str, Any]) -> Validator:
    """A validator that resolves no reference outside the schema itself."""
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    return kind(schema, registry=referencing.Registry())


def _unusable_part(schema: Mapping[str, object]) -> str | None:
    """What a valid schema may hold and we cannot apply; walks without recursion."""
    waiting: list[object] = [schema]
    seen = 0
    while waiting:
        item = waiting.pop()
        seen += 1
        if seen > MAX_SCHEMA_NODES:
            return f"has more than {MAX_SCHEMA_NODES} parts; write a smaller schema"
        if isinstance(item, Mapping):
            problem = _reference_problem(item) or _pattern_problem(item)
            if problem is not None:
                return problem
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
    return None


def _reference_problem(part: Mapping[object, object]) -> str | None:
    target = part.get("$ref", part.get("$dynamicRef"))
    if isinstance(target, str) and not target.startswith("#"):
        return f'refers to "{target[:60]}"; write a reference inside it ("#/...")'
    return None


def _pattern_problem(part: Mapping[object, object]) -> str | None:
    named = part.get("patternProperties")
    patterns = [part.get("pattern"), *(named if isinstance(named, Mapping) else ())]
    for pattern in patterns:
        if not isinstance(pattern, str):
            continue
        try:
            re.compile(pattern)
        except re.error as error:
            return f'holds the pattern "{pattern[:60]}", which is no regular expression: {error}'
        if len(pattern) > MAX_PATTERN_CHARS or _NESTED_REPEAT.search(pattern):
            return f'holds the pattern "{pattern[:60]}", which may take for ever; simplify it'
    return None
