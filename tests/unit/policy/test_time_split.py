"""The parts of an attempt's time, whatever was measured and whatever a server reports."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.policy.time_split import time_split

SECONDS = st.none() | st.floats(-1.0, 1e6, allow_nan=False)


@given(SECONDS, SECONDS, SECONDS, SECONDS, SECONDS, SECONDS)
def test_the_parts_add_up_to_the_wall_clock(
    duration: float | None,
    wait: float | None,
    load: float | None,
    first_token: float | None,
    prefill: float | None,
    decode: float | None,
) -> None:
    parts = time_split(
        duration_seconds=duration,
        wait_seconds=wait,
        load_seconds=load,
        first_token_seconds=first_token,
        prefill_seconds=prefill,
        decode_seconds=decode,
    )

    assert parts.attempt == pytest.approx(max(0.0, duration or 0.0), abs=1e-6)
    every = (parts.queue_here, parts.queue_there, parts.load, parts.prefill, parts.decode)
    assert min(every) >= 0.0
    assert parts.inferred is (prefill is None or decode is None)


def test_loading_and_queueing_are_not_decoding() -> None:
    parts = time_split(
        duration_seconds=100.0,
        load_seconds=40.0,
        first_token_seconds=55.0,
        prefill_seconds=5.0,
        decode_seconds=10.0,
    )

    assert (parts.load, parts.queue_there, parts.prefill, parts.decode) == (40.0, 45.0, 5.0, 10.0)
    assert parts.tokens_per_second(139) == pytest.approx(13.9)


def test_without_a_report_the_first_token_parts_reading_from_writing() -> None:
    parts = time_split(duration_seconds=12.0, load_seconds=2.0, first_token_seconds=4.0)

    assert (parts.prefill, parts.decode, parts.inferred) == (4.0, 6.0, True)


def test_an_attempt_without_a_token_decoded_nothing() -> None:
    assert time_split(duration_seconds=30.0).decode == 0.0
