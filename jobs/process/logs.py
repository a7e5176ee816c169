"""Logs: one event a line, as text for people or as JSON for programs."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Literal

_FIELD = re.compile(r"\b([a-z_]+)=(\S+)")
_NOISY = ("dramatiq.worker.WorkerThread", "urllib3", "peewee", "peewee.pool")


def configure_logs(log_format: Literal["console", "json"], *, program: str) -> None:
    """Send everything from INFO up to stderr, where supervisor rotates it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter(program) if log_format == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)


class _TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return _when(record)


class _JsonFormatter(logging.Formatter):
    """``task=... backend=...`` in a message become fields of their own."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        line = {
            "at": _when(record),
            "level": record.levelname.lower(),
            "program": self._program,
            "logger": record.name,
            "event": message.split(" ", 1)[0],
            "message": message,
            **dict(_FIELD.findall(message)),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _when(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds")
