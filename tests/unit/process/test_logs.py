"""What a foreign text can do to a log line: nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.process.logs import INDENT, configure_logs

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


FOREIGN = st.text(max_size=80) | st.sampled_from([FORGED, 'x", "level": "info', "a\u2028{}\r\n{}"])
VALUES = FOREIGN | st.integers() | st.floats() | st.none()
EVERY_TEXT = settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def write(capsys: pytest.CaptureFixture[str], log_format: Any, error: object, foreign: str) -> str:
    """What two calls write: a plain one, and one below an exception that says ``foreign``."""
    capsys.readouterr()
    configure_logs(log_format, program="control")
    logger = logging.getLogger("jobs.x")
    logger.warning("call_failed error=%s text=%s", error, foreign)
    try:
        raise ValueError(foreign)
    except ValueError:
        logger.exception("broke error=%s", error)
    return capsys.readouterr().err


@EVERY_TEXT
@given(VALUES, FOREIGN)
def test_no_json_line_is_forged_and_no_word_is_lost(
    capsys: pytest.CaptureFixture[str], error: object, foreign: str
) -> None:
    first, second = map(json.loads, write(capsys, "json", error, foreign).splitlines())

    assert (first["event"], first["level"], first["program"]) == (
        "call_failed", "warning", "control",
    )  # fmt: skip
    assert first["text"] == foreign
    assert str(first["error"]) == str(error)
    assert foreign in first["message"]
    assert (second["event"], second["level"]) == ("broke", "error")
    assert foreign in second["traceback"]


@EVERY_TEXT
@given(VALUES, FOREIGN)
def test_no_text_line_begins_as_one_of_ours_but_ours(
    capsys: pytest.CaptureFixture[str], error: object, foreign: str
) -> None:
    first, second, *below = write(capsys, "console", error, foreign).splitlines()

    assert " WARNING jobs.x call_failed error=" in first
    assert " ERROR jobs.x broke error=" in second
    assert below
    assert all(line.startswith(INDENT) for line in below)
    if foreign.isprintable():
        assert foreign in first
