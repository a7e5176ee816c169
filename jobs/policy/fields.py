"""Reads typed fields out of what strangers wrote: a wrong field is named, never raised."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

MAX_TEXT_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_LIST_ITEMS = 1000
MAX_PARTS = 100_000

Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field, and what to write instead.

    ``foreign``: the value is a word of somebody else's, near none of ours; not a slip of ours.
    """

    field: str
    message: str
    foreign: bool = False

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


@dataclass(slots=True)
class FieldReader:
    """Takes fields out of ``source`` one by one and gathers ``problems`` on the way.

    Every method returns None (or an empty tuple) for a field that is absent, null or wrong.
    """

    source: Mapping[str, object]
    problems: list[FieldProblem] = field(default_factory=list)

    def text(self, name: str, *, max_chars: int | None = None) -> str | None:
        value = self.source.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self.refuse(name, f'expected text in quotes, got {literal(value)}; write "..."')
            return None
        if not value.strip():
            self.refuse(name, "is blank; leave it out or write some text")
            return None
        if max_chars is not None and len(value) > max_chars:
            self.refuse(name, f"has {len(value)} characters; at most {max_chars} are kept")
            return None
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.source.get(name)
        if value is None:
            return ()
        if isinstance(value, str):
            self.refuse(
                name, f"expected a list of texts, got {literal(value)}; write [{literal(value)}]"
            )
            return ()
        if not isinstance(value, list | tuple):
            self.refuse(
                name, f'expected a list of texts, got {literal(value)}; write ["...", "..."]'
            )
            return ()
        if len(value) > MAX_LIST_ITEMS:
            self.refuse(name, f"has {len(value)} items; at most {MAX_LIST_ITEMS} are read")
            return ()
        return tuple(item for index, item in enumerate(value) if self._is_item(name, index, item))

    def number(self, name: str, *, low: float, high: float) -> float | None:
        value = self.source.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(name, f"expected a number, got {literal(value)}; write {low:g} to {high:g}")
            return None
        if math.isnan(value) or not low <= value <= high:
            self.refuse(name, f"is {literal(value)}; write a number from {low:g} to {high:g}")
            return None
        return float(value)

    def whole(self, name: str, *, low: int, high: int) -> int | None:
        value = self.source.get(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            self.refuse(
                name, f"expected a whole number, got {literal(value)}; write {low} to {high}"
            )
            return None
        if not low <= value <= high:
            self.refuse(name, f"is {literal(value)}; write a whole number from {low} to {high}")
            return None
        return value

    def flag(self, name: str) -> bool | None:
        value = self.source.get(name)
        if value is None or isinstance(value, bool):
            return value
        self.refuse(name, f"expected true or false, got {literal(value)}; write it unquoted")
        return None

    def choice(self, name: str, kind: type[Choice]) -> Choice | None:
        value = self.source.get(name)
        if value is None:
            return None
        options = [option.value for option in kind]
        if not isinstance(value, str):
            self.refuse(name, f"expected one of {', '.join(options)}; got {literal(value)}")
            return None
        wanted = value.strip().lower()
        if wanted in options:
            return kind(wanted)
        message = f"unknown value {literal(value)}{hint(wanted, options)}"
        self.problems.append(FieldProblem(name, message, foreign=not near(wanted, options)))
        return None

    def mapping(self, name: str) -> Mapping[str, object] | None:
        value = self.source.get(name)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            self.refuse(name, f"expected an object, got {literal(value)}; write {{...}}")
            return None
        return value

    def refuse(self, name: str, message: str) -> None:
        self.problems.append(FieldProblem(name, message))

    def _is_item(self, name: str, index: int, item: object) -> bool:
        if isinstance(item, str) and item.strip():
            return True
        self.refuse(f"{name}[{index}]", f"expected some text, got {literal(item)}")
        return False


def literal(value: object) -> str:
    """A value as a person wrote it, at most 40 characters."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "null"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "a number" if abs(value) > 1e15 else f"the number {value!r}"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def hint(wanted: str, options: Iterable[str]) -> str:
    """``"; did you mean coding?"``, or the options where nothing is near."""
    known = list(options)
    alike = near(wanted, known)
    return f"; did you mean {alike[0]}?" if alike else f"; write one of {', '.join(known)}"


def near(wanted: str, options: Iterable[str]) -> list[str]:
    """The one of ``options`` that is most alike, if any is alike."""
    return difflib.get_close_matches(wanted, list(options), n=1, cutoff=0.6)


def unstorable(value: object, name: str) -> FieldProblem | None:
    """The first part of ``value`` that a text or jsonb column would refuse, or None.

    NUL characters, half surrogate pairs, NaN and infinities, nesting beyond ``MAX_DEPTH`` levels,
    more than 1 MB of text or ``MAX_PARTS`` parts in all.
    Walks without recursion: the depth of the input is the stranger's choice.
    """
    size_bytes = 0
    for parts, (path, depth, item) in enumerate(_walk(value, name), start=1):
        message = _unstorable_item(item, depth)
        if message is not None:
            return FieldProblem(path, message)
        size_bytes += len(item.encode("utf-8")) if isinstance(item, str) else 0
        if size_bytes > MAX_TEXT_BYTES:
            return FieldProblem(name, f"has more than {MAX_TEXT_BYTES} bytes (1 MB) in all")
        if parts > MAX_PARTS:
            return FieldProblem(name, f"has more than {MAX_PARTS} parts; write fewer")
    return None


def _walk(value: object, name: str) -> Iterator[tuple[str, int, object]]:
    waiting: list[tuple[str, int, object]] = [(name, 0, value)]
    while waiting:
        path, depth, item = waiting.pop()
        yield path, depth, item
        if depth > MAX_DEPTH:
            continue
        if isinstance(item, Mapping):
            for key, inner in item.items():
                yield f"{path} (key {literal(key)})", depth, str(key)
                waiting.append((f"{path}.{key}"[:120], depth + 1, inner))
        elif isinstance(item, list | tuple):
            waiting.extend((f"{path}[{i}]"[:120], depth + 1, x) for i, x in enumerate(item))


def _unstorable_item(item: object, depth: int) -> str | None:
    if depth > MAX_DEPTH:
        return f"is nested deeper than {MAX_DEPTH} levels"
    if isinstance(item, float) and not math.isfinite(item):
        return "is not a finite number; write null or a number"
    if not isinstance(item, str):
        return None
    if "\x00" in item:
        return f"holds a NUL character at position {item.index(chr(0))}; remove it"
    try:
        size_bytes = len(item.encode("utf-8"))
    except UnicodeEncodeError as error:
        return f"holds half a surrogate pair at position {error.start}; write valid Unicode"
    if size_bytes > MAX_TEXT_BYTES:
        return f"has {size_bytes} bytes; at most {MAX_TEXT_BYTES} (1 MB) are accepted"
    return None
