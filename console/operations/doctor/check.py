"""What one check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Check:
    """``remedy`` is what to do, in one line; None where all is well."""

    name: str
    level: Level
    detail: str
    remedy: str | None = None

    def document(self) -> dict[str, Any]:
        return {
            "check": self.name,
            "ok": self.level is not Level.RED,
            "level": self.level.value,
            "detail": self.detail,
            "remedy": self.remedy,
        }


def ok(name: str, detail: str) -> Check:
    return Check(name, Level.OK, detail)


def warning(name: str, detail: str, remedy: str) -> Check:
    return Check(name, Level.WARNING, detail, remedy)


def red(name: str, detail: str, remedy: str) -> Check:
    return Check(name, Level.RED, detail, remedy)
