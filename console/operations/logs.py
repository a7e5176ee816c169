"""The log file of a program."""

from __future__ import annotations

from pathlib import Path

from console.operations.errors import UnknownName, near
from jobs.settings.load import Settings

LINE_BYTES = 400
"""As long as a line is thought to be, so that the end of a large file is read alone."""


def log_of(settings: Settings, program: str) -> Path:
    """``program`` is named as in ``kos status``, with or without its group; raises UnknownName."""
    logs = {file.stem: file for file in settings.log_directory.glob("*.log")}
    name = program.rpartition(":")[2]
    if name not in logs:
        raise UnknownName(f"no log of {program[:60]!r}: {near(name, logs)}")
    return logs[name]


def last_lines(log: Path, count: int) -> list[str]:
    """At most ``count`` of the last lines, and at most ``count * LINE_BYTES`` of them."""
    with log.open("rb") as file:
        size = file.seek(0, 2)
        start = max(0, size - count * LINE_BYTES)
        file.seek(start)
        lines = file.read(count * LINE_BYTES).decode("utf-8", "replace").splitlines()
    return lines[1 if start else 0 :][-count:]
