"""Reads values that Postgres can hold and Python cannot, without ever raising.

SQL of other programs may put them into any column. One unreadable row would stop its whole page of
five hundred, and with it all planning. So it is read as :class:`Unreadable` text, and
:func:`fault_of` names the field for which only that row is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

import psycopg2.extensions as pg

JSON_OIDS = {"kos_json": 114, "kos_jsonb": 3802}
MAX_NESTING = 64
MAX_DIGITS = 300
"""No float has more digits, and Python parses no integer above 4,300."""
MAX_COUNT = 2**30
"""A counter incremented by one must still fit into its column."""
MAX_EPOCH = 2**53
MAX_METADATA_BYTES = 2**21
MAX_DESCRIPTION_BYTES = 2**22
"""Four times what the CLI and the API accept, and more than any context holds."""
PARTS_SEARCHED = 100_000

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKETS = {"[": 1, "{": 1, "]": -1, "}": -1}


class Unreadable(str):
    """Replaces a value that Python cannot hold. It is text that says why, so any page can display
    it."""

    __slots__ = ()


def register() -> None:
    """Let every connection of this process read json and jsonb by :func:`read_json`."""
    for name, oid in JSON_OIDS.items():
        pg.register_type(pg.new_type((oid,), name, read_json))


def read_json(text: str | bytes | None, cursor: object = None) -> Any:
    """The value; :class:`Unreadable` where Python cannot hold it. Never raises."""
    if text is None:
        return None
    text = text.decode() if isinstance(text, bytes) else text
    if text.count("[") + text.count("{") > MAX_NESTING and _depth(text) > MAX_NESTING:
        return Unreadable(f"is nested deeper than {MAX_NESTING} levels")
    try:
        return json.loads(text, parse_int=_whole, parse_float=_fraction)
    except (ValueError, RecursionError) as error:
        return Unreadable(f"cannot be read: {error}"[:200])


def fault_of(row: Mapping[str, Any]) -> str | None:
    """Why a pending row can never run, as ``field: message``; None for nearly every row.

    Checks those columns that ``row`` has: ``metadata`` and ``avoid`` as :func:`read_json` reads
    them, ``metadata_bytes``, ``description_bytes``, ``epoch`` and the counters.
    """
    for name in ("metadata", "avoid"):
        for path, reason in _unreadable(row.get(name), name):
            return f"refused: {path}: {reason}"
    if (row.get("metadata_bytes") or 0) > MAX_METADATA_BYTES:
        return f"refused: metadata: has more than {MAX_METADATA_BYTES} bytes"
    if (row.get("description_bytes") or 0) > MAX_DESCRIPTION_BYTES:
        return (
            f"too_long: description: has {row['description_bytes']} bytes, more than any context "
            f"holds; at most {MAX_DESCRIPTION_BYTES} are accepted"
        )
    for name, most in (("epoch", MAX_EPOCH), ("attempt_count", MAX_COUNT),
                       ("crash_count", MAX_COUNT)):  # fmt: skip
        if not -most <= (row.get(name) or 0) <= most:
            return f"refused: {name}: is {row[name]}, which cannot be counted on from"
    return None


def share(value: float | None) -> float | None:
    """A number from 0 to 1; None for anything else, such as NaN."""
    if value is None or math.isnan(value):
        return None
    return min(1.0, max(0.0, value))


def _unreadable(value: object, name: str) -> Iterator[tuple[str, str]]:
    waiting: list[tuple[str, object]] = [(name, value)]
    for _ in range(PARTS_SEARCHED):
        if not waiting:
            return
        path, item = waiting.pop()
        if isinstance(item, Unreadable):
            yield path, item
        elif isinstance(item, Mapping):
            waiting.extend((f"{path}.{key}"[:120], inner) for key, inner in item.items())
        elif isinstance(item, list):
            waiting.extend((f"{path}[{at}]"[:120], inner) for at, inner in enumerate(item))


def _depth(text: str) -> int:
    steps = (_BRACKETS[char] for char in _STRINGS.sub("", text) if char in _BRACKETS)
    return max(accumulate(steps), default=0)


def _whole(digits: str) -> int | Unreadable:
    if len(digits) > MAX_DIGITS:
        return Unreadable(f"is a number of {len(digits)} digits")
    return int(digits)


def _fraction(text: str) -> float | Unreadable:
    value = float(text)
    return value if math.isfinite(value) else Unreadable("is a number beyond every float")
