"""Does the answer fit the JSON Schema that was asked for?"""

from __future__ import annotations

import json
import re
from typing import Any

import referencing.exceptions

from jobs.policy.schemas import validator_of
from jobs.policy.validation.types import Answer, Finding, Request


def structured(answer: Answer, request: Request) -> Finding:
    assert request.response_schema is not None
    try:
        value = json_of(answer.text)
    except ValueError as error:
        if answer.finish_reason == "length":
            return Finding(0.0, "truncated", f"the token limit cut the JSON answer: {error}")
        return Finding(0.0, "schema", f"the answer is not JSON: {error}")
    try:
        found = next(validator_of(request.response_schema).iter_errors(value), None)
    except (referencing.exceptions.Unresolvable, RecursionError, re.error) as error:
        return Finding(0.0, "schema", f"the schema cannot be applied: {error!s:.120}")
    if found is not None:
        return Finding(0.0, "schema", f"at {found.json_path}: {found.message:.200}")
    return Finding(1.0)


def json_of(text: str) -> Any:
    """The JSON value of an answer, also out of one fenced block. Raises ValueError otherwise."""
    try:
        return json.loads(_unfenced(text.strip()), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _unfenced(text: str) -> str:
    opening, newline, rest = text.partition("\n")
    if newline and opening.strip().lower() in ("```", "```json") and rest.endswith("```"):
        return rest.removesuffix("```")
    return text


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
