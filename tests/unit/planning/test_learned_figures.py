"""What a line of the ledger teaches."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from jobs.planning.learned_figures import sample_of
from llm.types import Category
from models.attempt import MeasuredAttempt

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def line(**figures: Any) -> MeasuredAttempt:
    usual: dict[str, Any] = {
        "backend": "ollama",
        "model": "qwq:32b",
        "finished_at": NOON,
        "category": "coding",
        "outcome": "completed",
        "load_seconds": 10.0,
        "first_token_seconds": 1.0,
        "duration_seconds": 31.0,
        "prompt_tokens": 1000,
        "completion_tokens": 201,
        "prefill_seconds": None,
        "decode_seconds": None,
        "cached_prompt_tokens": None,
    }
    return MeasuredAttempt(**{**usual, **figures})


def test_an_answer_is_measured_without_its_load() -> None:
    sample = sample_of(line())

    assert (sample.backend, sample.model, sample.at) == ("ollama", "qwq:32b", NOON)
    assert sample.category is Category.CODING
    assert sample.load_seconds == 10.0
    assert sample.service_seconds == 21.0
    assert sample.tokens_per_second == 10.0
    assert sample.prefill_seconds_per_token == 0.001


def test_an_attempt_without_an_answer_teaches_its_load_only() -> None:
    sample = sample_of(line(outcome="retried", duration_seconds=300.0))

    assert sample.load_seconds == 10.0
    assert sample.service_seconds is None
    assert sample.tokens_per_second is None


def test_a_very_short_answer_tells_nothing_of_the_rate() -> None:
    sample = sample_of(line(completion_tokens=3))

    assert sample.service_seconds == 21.0
    assert sample.tokens_per_second is None


def test_a_category_of_another_system_is_no_category() -> None:
    assert sample_of(line(category="их отдел")).category is None
