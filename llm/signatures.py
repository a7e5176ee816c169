"""The table of error signatures: maps a server's error response to our error. Pure."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from llm import errors
from llm.types import BackendKind

IN_STREAM = 200
"""The status of an error inside a stream that began well."""


@dataclass(frozen=True, slots=True)
class ServerRefusal:
    """An error response and the request it answers.

    ``value`` is the content of the error: an object, a list or text. ``fields`` are the optional
    fields of the request; ``with_schema``: it requested structured output.
    """

    status: int
    value: object
    kind: BackendKind | None = None
    with_schema: bool = False
    fields: Collection[str] = ()

    @property
    def message(self) -> str:
        return message_of(self.value)


@dataclass(frozen=True, slots=True)
class Signature:
    """One row of the table; an empty condition always matches."""

    error: type[errors.LLMError]
    source: str
    concerns: errors.Concern | None = None
    kinds: frozenset[BackendKind] = frozenset()
    statuses: frozenset[int] = frozenset()
    codes: frozenset[str] = frozenset()
    text: re.Pattern[str] | None = None
    needs: str | None = None

    def fits(self, refusal: ServerRefusal) -> bool:
        return (
            (not self.kinds or refusal.kind is None or refusal.kind in self.kinds)
            and (not self.statuses or refusal.status in self.statuses)
            and (not self.codes or not self.codes.isdisjoint(_codes(refusal.value)))
            and (self.needs != "schema" or refusal.with_schema)
            and (self.needs != "field" or refused_field(refusal) is not None)
            and (self.text is None or self.text.search(refusal.message) is not None)
        )


def signature_of(refusal: ServerRefusal) -> Signature:
    """The first row that matches; the last row matches everything."""
    return next(row for row in table() if row.fits(refusal))


def refused_field(refusal: ServerRefusal) -> str | None:
    """The optional field of the request that the message names."""
    names = _field_patterns()
    for field in refusal.fields:
        pattern = names.get(field, re.escape(field))
        if re.search(rf"(?<![a-z_]){pattern}(?![a-z_])", refusal.message, re.IGNORECASE):
            return field
    return None


def message_of(value: object) -> str:
    """The message of an error object: ``{"message"}``, ``{"error"}``, FastAPI's list, or text."""
    if isinstance(value, Mapping):
        message = value.get("message") or value.get("error") or value
        return message if isinstance(message, str) else json.dumps(message, default=str)
    return value if isinstance(value, str) else json.dumps(value, default=str)


@cache
def table() -> tuple[Signature, ...]:
    return tuple(_signature(row) for row in _document()["signature"])


@cache
def _document() -> dict[str, Any]:
    return tomllib.loads(resources.files("llm").joinpath("signatures.toml").read_text("utf-8"))


@cache
def _field_patterns() -> Mapping[str, str]:
    patterns: Mapping[str, str] = _document()["fields"]
    return patterns


def _signature(row: Mapping[str, Any]) -> Signature:
    return Signature(
        error=getattr(errors, row["error"]),
        source=row["source"],
        concerns=row.get("concerns"),
        kinds=frozenset(BackendKind(kind) for kind in row.get("kinds", ())),
        statuses=frozenset(number for entry in row.get("status", ()) for number in _range(entry)),
        codes=frozenset(row.get("codes", ())),
        text=re.compile(row["text"].replace("\\\n", ""), re.IGNORECASE) if "text" in row else None,
        needs=row.get("needs"),
    )


def _range(entry: int | str) -> range:
    if isinstance(entry, int):
        return range(entry, entry + 1)
    first = 100 * int(entry[0])
    return range(first, first + 100)


def _codes(value: object) -> set[str]:
    if not isinstance(value, Mapping):
        return set()
    return {str(value[name]) for name in ("code", "type") if value.get(name)}
