"""Logs: one event a line, as text for people or as JSON for programs."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from math import isfinite
from typing import Literal

_PLACEHOLDER = re.compile(r"(?:\b([a-z_]+)=)?%[-+ #0]*\d*(?:\.\d+)?([a-zA-Z%])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
INDENT = "    "
_NOISY = ("dramatiq.worker.WorkerThread", "urllib3", "peewee", "peewee.pool")


def configure_logs(log_format: Literal["console", "json"], *, program: str) -> None:
    """Write everything from INFO up to stderr, where supervisor rotates it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter(program) if log_format == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)


class _TextFormatter(logging.Formatter):
    """Formats an event as one line; a traceback follows, indented. So no line of a foreign text
    begins like one of ours."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_when(record)} {record.levelname} {record.name} {_escaped(record.getMessage())}"
        if not record.exc_info:
            return line
        below = self.formatException(record.exc_info).split("\n")
        return "\n".join([line, *(INDENT + _escaped(part) for part in below)])


class _JsonFormatter(logging.Formatter):
    """``task=%s`` in the format of a call becomes a field with the whole argument.

    Fields come from the format only, never from the text of arguments, and cannot replace the
    standard fields.
    """

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        line = {
            **_fields(record),
            "at": _when(record),
            "level": record.levelname.lower(),
            "program": self._program,
            "logger": record.name,
            "event": str(record.msg).split(" ", 1)[0].rstrip(":"),
            "message": message,
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        # Some readers end a line at characters that JSON allows.
        text = json.dumps(line, ensure_ascii=False, allow_nan=False)
        return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _fields(record: logging.LogRecord) -> dict[str, str | int | float]:
    if not isinstance(record.args, tuple):
        return {}
    places = [place for place in _PLACEHOLDER.finditer(str(record.msg)) if place[2] != "%"]
    pairs = zip(places, record.args, strict=False)
    return {place[1]: _plain(value) for place, value in pairs if place[1]}


def _plain(value: object) -> str | int | float:
    plain = isinstance(value, str | int) or (isinstance(value, float) and isfinite(value))
    return value if plain else str(value)  # type: ignore[return-value]


def _escaped(text: str) -> str:
    """The text with control characters and line ends escaped as Python does."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def _when(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds")
