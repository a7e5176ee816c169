"""What is learned from the log of people's requests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from jobs.planning.learned_figures import sample_of_request
from models import model_loads, request
from models.request import NewRequest

NOW = datetime.now(UTC)
ANSWERED = NewRequest(
    at=NOW - timedelta(seconds=60), caller="me", api="/v1/chat/completions", asked="chat",
    status=200, backend="ollama", model="chat", queue_seconds=2.0, load_seconds=6.0,
    first_token_seconds=8.5, duration_seconds=10.5, prompt_tokens=10, completion_tokens=41,
    error=None, text=None,
)  # fmt: skip


def test_a_streamed_answer_teaches_load_and_speed_and_one_in_a_piece_its_load(
    database_here: str,
) -> None:
    in_a_piece = replace(ANSWERED, model="whole", first_token_seconds=10.5)
    refused = replace(ANSWERED, model="refused", status=400)
    request.record([ANSWERED, in_a_piece, refused])

    samples = {row.model: sample_of_request(row) for row in request.samples()}

    assert set(samples) == {"chat", "whole"}
    streamed = samples["chat"]
    assert (streamed.load_seconds, streamed.service_seconds) == (6.0, None)
    assert streamed.first_token_seconds == pytest.approx(0.5)
    assert streamed.tokens_per_second == pytest.approx(20.0)
    assert samples["whole"].tokens_per_second is None
    assert samples["whole"].load_seconds == 6.0


def test_pauses_between_requests_and_the_last_load_are_remembered(database_here: str) -> None:
    starts = (0.0, 12.5, 18.0, 60.0)
    request.record(
        [replace(ANSWERED, at=NOW - timedelta(seconds=100 - start)) for start in starts]
        + [replace(ANSWERED, backend="mlx")]
    )
    model_loads.record("ollama", "chat", num_ctx=0, seconds=6.5, cause="chat")

    found = request.pauses("ollama", "chat", newest=10)

    # The third began while the second still ran.
    assert found == pytest.approx([2.0, 31.5])
    assert request.pauses("ollama", "chat", newest=1) == pytest.approx([31.5])
    assert model_loads.last_seconds("ollama", "chat") == 6.5
    assert model_loads.last_seconds("mlx", "chat") is None
