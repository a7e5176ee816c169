"""Does the answer fit the JSON Schema that was requested?"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jobs.policy.schemas import BudgetSpent, misfit
from jobs.policy.validation.types import Answer, Finding, Request

MOST_CANDIDATES = 20

_FENCED = re.compile(r"```[a-zA-Z]*[ \t]*\n(.*?)\n[ \t]*```", re.DOTALL)
_START = re.compile(r"[{\[]")


def structured(answer: Answer, request: Request) -> Finding:
    assert request.response_schema is not None
    fault = schema_fault(answer.text, request.response_schema, abandoned=request.abandoned)
    if fault is None:
        return Finding(1.0)
    if answer.finish_reason == "length":
        return Finding(0.0, "truncated", f"the token limit cut the JSON answer: {fault}")
    return Finding(0.0, "schema", fault)


def schema_fault(
    text: str, schema: Mapping[str, Any], *, abandoned: Callable[[], bool] | None = None
) -> str | None:
    """Why ``text`` is no JSON value that fits ``schema``; None where it is."""
    try:
        value = json_of(text)
    except ValueError as error:
        return f"the answer is not JSON: {error}"
    try:
        return misfit(schema, value, abandoned=abandoned)
    except BudgetSpent as spent:
        return str(spent)


def bare_json(
    text: str, schema: Mapping[str, Any], *, abandoned: Callable[[], bool] | None = None
) -> str:
    """The part of ``text`` that is JSON and fits ``schema``, without fence and prose; where none
    fits the first that is JSON, else ``text`` itself."""
    readable: str | None = None
    for candidate in _candidates(text):
        try:
            value = json_of(candidate)
            if misfit(schema, value, abandoned=abandoned) is None:
                return candidate
        except BudgetSpent:
            return readable or candidate
        except ValueError:
            continue
        readable = readable or candidate
    return readable or text


def json_of(text: str) -> Any:
    """The JSON value of an answer, also out of one fenced block. Raises ValueError otherwise."""
    stripped = text.strip()
    fenced = _FENCED.fullmatch(stripped)
    try:
        return json.loads(fenced.group(1) if fenced else stripped, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _candidates(text: str) -> Iterator[str]:
    """The whole, then each fenced block, then each object or list within prose."""
    stripped = text.strip()
    if not stripped.startswith("```"):
        yield stripped
    for block in _FENCED.finditer(text):
        yield block.group(1).strip()
    decoder = json.JSONDecoder()
    place, tried = 0, 0
    while tried < MOST_CANDIDATES and (start := _START.search(text, place)) is not None:
        tried += 1
        try:
            _, place = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            place = start.end()
            continue
        yield text[start.start() : place]


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
