"""``kos`` as a test calls it: in this process, with what it wrote and its exit code."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from console.cli.main import main
from tests.support.commands import Ran


@dataclass(slots=True)
class Kos:
    """Calls ``kos`` in the environment of one test."""

    files: Path
    home: Path
    capture: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, *arguments: str, stdin: str = "") -> Ran:
        source = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
        self.monkeypatch.setattr(sys, "stdin", source)
        self.capture.readouterr()
        code = main(list(arguments))
        out, err = self.capture.readouterr()
        return Ran(code, out, err)

    def submit(self, *lines: dict[str, Any]) -> dict[str, Any]:
        """Submit lines as JSONL; the document."""
        text = "".join(json.dumps(line) + "\n" for line in lines)
        document: dict[str, Any] = self("submit", "--from", "-", "--json", stdin=text).json
        return document

    def setenv(self, name: str, value: str) -> None:
        self.monkeypatch.setenv(name, value)
