"""Each figure that goes into a deadline, with the seconds that follow from it."""

from __future__ import annotations

from typing import Any

import pytest

from llm.breaker import counts_against_backend
from llm.deadlines import deadlines_for, explained, prefill_seconds
from llm.errors import FirstTokenTimeout, QueueTimeout
from llm.types import Deadlines

USUAL: dict[str, Any] = {"heavy": False, "max_tokens": 100, "resident": True}

# What is known -> load, first token, between tokens, total
ROWS: list[tuple[dict[str, Any], tuple[float, ...]]] = [
    ({}, (120, 120, 30, 300)),
    ({"resident": False}, (120, 240, 30, 420)),
    ({"heavy": True}, (180, 180, 45, 450)),
    ({"heavy": True, "heavy_multiplier": 2.0}, (240, 240, 60, 600)),
    ({"llm_timeout_seconds": 20.0}, (120, 8, 20, 20)),
    ({"learned_load_seconds": 10.0}, (30, 120, 30, 300)),
    ({"learned_load_seconds": 1.0}, (15, 120, 30, 300)),
    ({"learned_load_seconds": 1e6}, (900, 120, 30, 300)),
    ({"learned_load_seconds": 0.0, "size_bytes": 10**12}, (15, 120, 30, 300)),
    ({"size_bytes": 4_000_000_000}, (40, 120, 30, 300)),
    ({"size_bytes": 4_000_000_000, "heavy": True}, (60, 180, 45, 450)),
    ({"load_buffer_seconds": 200.0}, (200, 120, 30, 300)),
    ({"load_buffer_seconds": 2000.0}, (2000, 120, 30, 300)),
    ({"load_buffer_seconds": 20.0, "learned_load_seconds": 1.0}, (20, 120, 30, 300)),
    ({"learned_first_token_seconds": 1.0}, (120, 30, 30, 300)),
    ({"learned_first_token_seconds": 10.0}, (120, 50, 30, 300)),
    ({"learned_first_token_seconds": 100.0}, (120, 300, 30, 300)),
    ({"prompt_tokens": 10_000}, (120, 200, 30, 300)),
    ({"prompt_tokens": 10_000, "learned_prefill_seconds": 0.01}, (120, 150, 30, 300)),
    ({"prompt_tokens": 100_000}, (120, 300, 30, 300)),
    ({"queue_seconds": 60.0}, (120, 180, 30, 300)),
    ({"queue_seconds": 600.0}, (120, 300, 30, 300)),
    ({"learned_tokens_per_second": 50.0}, (120, 120, 30, 300)),
    ({"learned_tokens_per_second": 0.5}, (120, 120, 40, 370)),
    ({"learned_tokens_per_second": 0.01}, (120, 120, 300, 600)),
    ({"learned_tokens_per_second": 0.0}, (120, 120, 30, 300)),
    ({"learned_tokens_per_second": -1.0}, (120, 120, 30, 300)),
]


@pytest.mark.parametrize(("known", "expected"), ROWS, ids=[str(known) for known, _ in ROWS])
def test_deadlines_follow_from_what_is_known(
    known: dict[str, Any], expected: tuple[float, ...]
) -> None:
    found = deadlines_for(**USUAL | known)

    assert fields(found) == pytest.approx(expected)


def fields(deadlines: Deadlines) -> tuple[float, ...]:
    return (
        deadlines.load_seconds,
        deadlines.first_token_seconds,
        deadlines.between_tokens_seconds,
        deadlines.total_seconds,
    )


def test_reading_a_prompt_takes_what_was_learned_or_the_slowest() -> None:
    assert prefill_seconds(100, None) == 2.0
    assert prefill_seconds(100, 0.01) == pytest.approx(1.5)
    assert prefill_seconds(100, 0.0) == 0.0


@pytest.mark.parametrize(
    ("queue", "prefill", "found", "counts"),
    [
        (0.0, 300.0, FirstTokenTimeout, True),
        (0.0, 300.1, FirstTokenTimeout, False),
        (1.0, 500.0, QueueTimeout, False),
        (200.0, 100.0, FirstTokenTimeout, True),
        (200.0, 100.1, QueueTimeout, False),
    ],
)
def test_a_late_token_that_queue_or_prompt_explains_is_no_evidence(
    queue: float, prefill: float, found: type[FirstTokenTimeout], counts: bool
) -> None:
    late = FirstTokenTimeout("no token", backend="ollama", model="m")

    error = explained(late, allowed_seconds=300.0, queue_seconds=queue, prefill_seconds=prefill)

    assert type(error) is found
    assert counts_against_backend(error) is counts
    assert (error.backend, error.model) == ("ollama", "m")
