"""Texts with variables: ``{{name}}`` anywhere in the strings of a task's line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

VARIABLE = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")


class MissingVariables(ValueError):
    """Variables without a value; ``names`` are theirs."""

    def __init__(self, names: set[str]) -> None:
        self.names = sorted(names)
        super().__init__(f"no value for {', '.join(self.names)}")


def variables(value: Any) -> set[str]:
    """The names of all variables in the strings of ``value``, a JSON value."""
    return {name for text in _strings(value) for name in VARIABLE.findall(text)}


def filled(value: Any, values: Mapping[str, str]) -> Any:
    """``value`` with every variable replaced, once: what a value holds is not looked at again.

    Raises:
        MissingVariables: some have no value.
    """
    if missing := variables(value) - set(values):
        raise MissingVariables(missing)
    return _replaced(value, values)


def _replaced(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return VARIABLE.sub(lambda found: values[found[1]], value)
    if isinstance(value, list):
        return [_replaced(item, values) for item in value]
    if isinstance(value, dict):
        return {key: _replaced(item, values) for key, item in value.items()}
    return value


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)
