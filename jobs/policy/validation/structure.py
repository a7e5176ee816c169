"""Does the answer fit the JSON Schema that was asked for?"""

from __future__ import annotations

import json
import re
from typing import Any

from jobs.policy.schemas import validator_of
from jobs.policy.validation.types import Answer, Finding, Request

_FENCED = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL | re.IGNORECASE)


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
    except RecursionError:
        return Finding(0.0, "schema", "the answer is nested too deeply to be checked")
    if found is not None:
        return Finding(0.0, "schema", f"at {found.json_path}: {found.message:.200}")
    return Finding(1.0)


def json_of(text: str) -> Any:
    """The JSON value of an answer, also out of one fenced block. Raises ValueError otherwise."""
    fenced = _FENCED.match(text)
    try:
        return json.loads(fenced.group(1) if fenced else text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
