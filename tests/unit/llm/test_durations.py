from __future__ import annotations

import pytest

from llm.wire.durations import go_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("+1.5s", 1.5),
        ("-1m", -60.0),
        (".5s", 0.5),
        ("1.s", 1.0),
        ("250ms", 0.25),
        ("3µs", 3e-6),
        ("3μs", 3e-6),
        ("-0s", 0.0),
        ("0", 0.0),
        ("-0", 0.0),
    ],
)
def test_a_duration_is_read_as_go_reads_it(text: str, seconds: float) -> None:
    assert go_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "-", "5", "5 m", "m", ".s", "1d", "٣s", "5m\n", "1.2.3s"])
def test_what_go_refuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        go_duration(text)
