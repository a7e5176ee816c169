"""Templates: tasks with variables, kept by name, and the lines they become."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from console.operations.documents import fields_of
from console.operations.errors import InvalidInput, UnknownName, near
from console.operations.submission_lines import Line, is_table, read_lines, read_table
from jobs.policy.metadata import SUBMIT_KEYS
from jobs.policy.templates import MissingVariables, filled, variables
from models import template
from models.template import Template

MAX_NAME_CHARS = 100


@dataclass(frozen=True, slots=True)
class ShownTemplate(Template):
    """A template with the names of its variables."""

    variables: list[str]


def listed() -> list[ShownTemplate]:
    """By name."""
    return [_shown(row) for row in template.listed()]


def details(name: str) -> ShownTemplate:
    """One of :func:`listed`. Raises UnknownName."""
    row = template.get(name)
    if row is None:
        names = [known.name for known in template.listed()]
        raise UnknownName(f"no template {name!r}: {near(name, names)}")
    return _shown(row)


def add(name: str, line: Any) -> ShownTemplate:
    """Raises InvalidInput: the name is taken, or ``line`` is no task's line."""
    if not name.strip() or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise InvalidInput(f"name: write 1 to {MAX_NAME_CHARS} characters in one line")
    if not isinstance(line, dict) or not isinstance(line.get("description"), str):
        raise InvalidInput('the template needs a text: {"description": "Review {{file}}"}')
    for key in line:
        if key not in SUBMIT_KEYS:
            raise InvalidInput(f"{key[:60]}: is not a known key; {near(key, SUBMIT_KEYS)}")
    if not template.add(name, line):
        raise InvalidInput(f"template {name!r} is there already; remove it first")
    return details(name)


def remove(name: str) -> None:
    """Raises InvalidInput: no such template, or schedules use it."""
    details(name)
    if schedules := template.used_by(name):
        raise InvalidInput(f"template {name!r} is used by the schedules {', '.join(schedules)}")
    template.remove(name)


def lines(
    name: str, rows: Iterable[Line], fixed: dict[str, str], over: dict[str, Any]
) -> Iterator[Line]:
    """The template, with the keys of ``over`` in place of its own, filled by each row and
    ``fixed``; a row that lacks a variable is an error. Raises UnknownName.
    """
    return filled_lines({**details(name).line, **over}, rows, fixed)


def filled_lines(
    found: Mapping[str, Any], rows: Iterable[Line], fixed: Mapping[str, str]
) -> Iterator[Line]:
    """``found`` with its variables filled by each row and ``fixed``."""
    for row in rows:
        if row.error is not None or not isinstance(row.value, dict):
            yield Line(row.number, error=row.error or "line: is not an object of variables")
            continue
        values = {key: _text(value) for key, value in row.value.items()}
        try:
            yield Line(row.number, value=filled(found, {**values, **fixed}))
        except MissingVariables as error:
            yield Line(row.number, error=str(error))


def read_rows(stream: BinaryIO, name: str) -> Iterator[Line]:
    """Each row of the table or of the JSONL file ``name`` as an object of variables."""
    return read_table(stream) if is_table(name) else read_lines(stream)


def pairs(written: Iterable[str]) -> dict[str, str]:
    """``("file=app.py",)`` as a dictionary. Raises InvalidInput."""
    values = {}
    for pair in written:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise InvalidInput(f"--var {pair[:60]!r}: write NAME=VALUE")
        values[name] = value
    return values


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _shown(found: Template) -> ShownTemplate:
    return ShownTemplate(**fields_of(found), variables=sorted(variables(found.line)))
