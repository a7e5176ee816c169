"""JSON Schemas written by strangers: checked before use, applied within a budget.

Nothing is fetched from a network. Patterns run on an engine whose time is linear in the text; what
it cannot express is refused with the reason. References may double a schema at every level, so
each look at a part of it is a step, and steps are bounded.

jsonschema is imported where a schema is looked at: every program imports this module, and with the
optional format checkers of that library its import takes 1.6 s of a processor.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import re2
import referencing
import referencing.exceptions

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

    Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]

MAX_SCHEMA_NODES = 5000
MAX_PATTERN_CHARS = 500
MAX_PATTERN_BYTES = 1 << 20
MAX_MATCHED_CHARS = 100_000
MAX_STEPS = 200_000
STEPS_BETWEEN_LOOKS = 500


class BudgetSpent(Exception):
    """The schema asks for more steps than a check may take, or nobody waits for it any more."""


def schema_problem(schema: object) -> str | None:
    """Why ``schema`` cannot be used as a response schema, or None."""
    import jsonschema

    if not isinstance(schema, Mapping):
        return 'expected a JSON Schema object; write {"type": "object", ...}'
    unusable = _unusable_part(schema)
    if unusable is not None:
        return unusable
    try:
        _kind_of(schema).check_schema(dict(schema))
    except jsonschema.SchemaError as error:
        return f"is not a valid JSON Schema: at {error.json_path}: {error.message:.200}"
    except RecursionError:
        return "is nested too deeply"
    return None


def misfit(
    schema: Mapping[str, Any], value: Any, *, abandoned: Callable[[], bool] | None = None
) -> str | None:
    """Where and why ``value`` does not fit ``schema``, or None where it fits.

    ``abandoned`` is looked at every ``STEPS_BETWEEN_LOOKS`` steps. Raises BudgetSpent.
    """
    try:
        found = next(_within_budget(schema, abandoned).iter_errors(value), None)
    except (referencing.exceptions.Unresolvable, RecursionError, re2.error) as error:
        return f"the schema cannot be applied: {error!s:.120}"
    return None if found is None else f"at {found.json_path}: {found.message:.200}"


def _within_budget(
    schema: Mapping[str, Any], abandoned: Callable[[], bool] | None = None
) -> Validator:
    """A validator that counts its steps and resolves no reference outside the schema itself."""
    from jsonschema import validators

    kind = _kind_of(schema)
    taken = 0

    def step() -> None:
        nonlocal taken
        taken += 1
        if taken > MAX_STEPS:
            raise BudgetSpent(f"the schema takes more than {MAX_STEPS} steps to check")
        if taken % STEPS_BETWEEN_LOOKS == 0 and abandoned is not None and abandoned():
            raise BudgetSpent("the check was abandoned, or took too long")

    def counted(keyword: Keyword) -> Keyword:
        def check(*arguments: Any) -> Iterator[ValidationError] | None:
            step()
            return keyword(*arguments)

        return check

    keywords = {**kind.VALIDATORS, **_OWN_KEYWORDS}
    own: Any = validators.extend(  # type: ignore[no-untyped-call]
        kind, {name: counted(keyword) for name, keyword in keywords.items()}
    )
    found: Validator = own(schema, registry=referencing.Registry())
    return found


def _kind_of(schema: Mapping[str, Any]) -> Any:
    from jsonschema import Draft202012Validator, validators

    return validators.validator_for(schema, default=Draft202012Validator)


def _error(message: str) -> ValidationError:
    import jsonschema

    return jsonschema.ValidationError(message)


def _pattern(validator: Any, pattern: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string") and not _matches(pattern, instance):
        yield _error(f"{instance[:60]!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, inner in patterns.items():
        for key, value in instance.items():
            if _matches(pattern, key):
                yield from validator.descend(value, inner, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, allowed: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    named, patterns = schema.get("properties", {}), tuple(schema.get("patternProperties", ()))
    for key, value in instance.items():
        if key in named or any(_matches(pattern, key) for pattern in patterns):
            continue
        if isinstance(allowed, Mapping):
            yield from validator.descend(value, allowed, path=key)
        elif not allowed:
            yield _error(f"the property {key[:60]!r} is not allowed")


def _unique_items(
    validator: Any, wanted: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    """In one pass: the library compares each item with each."""
    if wanted and validator.is_type(instance, "array"):
        texts = {json.dumps(_plain(item), sort_keys=True) for item in instance}
        if len(texts) < len(instance):
            yield _error("the items are not all different")


_OWN_KEYWORDS: Mapping[str, Keyword] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}


def _plain(item: Any) -> Any:
    """1 and 1.0 are one number to JSON Schema."""
    if isinstance(item, float) and item.is_integer():
        return int(item)
    if isinstance(item, list):
        return [_plain(inner) for inner in item]
    if isinstance(item, dict):
        return {key: _plain(inner) for key, inner in item.items()}
    return item


def _matches(pattern: str, text: str) -> bool:
    return len(text) <= MAX_MATCHED_CHARS and _compiled(pattern).search(text) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.max_mem = MAX_PATTERN_BYTES
    options.log_errors = False
    return re2.compile(pattern, options)


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
    if isinstance(named, Mapping) and "unevaluatedProperties" in part:
        return "holds unevaluatedProperties beside patternProperties; write additionalProperties"
    for pattern in (part.get("pattern"), *(named if isinstance(named, Mapping) else ())):
        if not isinstance(pattern, str):
            continue
        if len(pattern) > MAX_PATTERN_CHARS:
            return f'holds the pattern "{pattern[:60]}..." of {len(pattern)} characters; shorten it'
        try:
            _compiled(pattern)
        except re2.error as error:
            detail = error.args[0] if error.args else error
            reason = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
            return f'holds the pattern "{pattern[:60]}", which is not served: {reason:.120}'
    return None
