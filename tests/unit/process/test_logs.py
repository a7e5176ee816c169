"""What a foreign text can do to a log line: nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from jobs.process.logs import configure_logs

FORGED = "lost level=info message=fine\nERROR jobs.worker admin logged in \x1b[2J"


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_fields_come_from_the_call_and_never_from_its_arguments(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("json", program="control")

    logging.getLogger("jobs.x").warning("call_failed task=%s tries=%d error=%s", "a b", 2, FORGED)

    (line,) = capsys.readouterr().err.splitlines()
    document: dict[str, Any] = json.loads(line)
    assert document.pop("at")
    assert document == {
        "level": "warning", "program": "control", "logger": "jobs.x", "event": "call_failed",
        "task": "a b", "tries": 2, "error": FORGED,
        "message": f"call_failed task=a b tries=2 error={FORGED}",
    }  # fmt: skip


def test_a_field_replaces_none_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", program="control")

    logging.getLogger("jobs.x").error("odd level=%s program=%s 100%% done=%.1f", "debug", "x", 0.55)

    document = json.loads(capsys.readouterr().err)
    assert (document["level"], document["program"], document["done"]) == ("error", "control", 0.55)


def test_text_stays_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("console", program="control")

    logging.getLogger("jobs.x").warning("call_failed error=%s", FORGED)

    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(r"message=fine\nERROR jobs.worker admin logged in \x1b[2J")
