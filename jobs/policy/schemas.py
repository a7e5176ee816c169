"""JSON Schemas written by strangers: checked before use, never fetched from a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema
import referencing
from jsonschema.protocols import Validator

MAX_SCHEMA_NODES = 5000


def schema_problem(schema: object) -> str | None:
    """Why ``schema`` cannot be used as a response schema, or None."""
    if not isinstance(schema, Mapping):
        return 'expected a JSON Schema object; write {"type": "object", ...}'
    outside = _outside_reference(schema)
    if outside is not None:
        return outside
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


def _outside_reference(schema: Mapping[str, object]) -> str | None:
    waiting: list[object] = [schema]
    seen = 0
    while waiting:
        item = waiting.pop()
        seen += 1
        if seen > MAX_SCHEMA_NODES:
            return f"has more than {MAX_SCHEMA_NODES} parts; write a smaller schema"
        if isinstance(item, Mapping):
            target = item.get("$ref", item.get("$dynamicRef"))
            if isinstance(target, str) and not target.startswith("#"):
                return f'refers to "{target[:60]}"; write a reference inside it ("#/...")'
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
    return None
