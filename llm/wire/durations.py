"""Durations as Go writes them and Ollama's `keep_alive` accepts them: "5m", "1h30m", "-1s"."""

from __future__ import annotations

import re

_WHOLE = re.compile(r"([+-]?)((?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+|0)")
_PART = re.compile(r"([0-9.]+)([a-zµμ]+)")
_UNIT_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # the micro sign
    "μs": 1e-6,  # the Greek letter
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}


def go_duration(text: str) -> float:
    """The seconds of ``text``; raises ValueError. Source: Go's `time.ParseDuration`."""
    match = _WHOLE.fullmatch(text)
    if match is None:
        raise ValueError(f'time: invalid duration "{text}"')
    parts = _PART.findall(match[2])  # "0" needs no unit.
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
    return -seconds if match[1] == "-" else seconds
