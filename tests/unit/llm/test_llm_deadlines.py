from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llm.deadlines import deadlines_for
from llm.types import Deadlines


def deadlines(**changes: Any) -> Deadlines:
    facts: dict[str, Any] = {"heavy": False, "max_tokens": 1000, "resident": True, **changes}
    return deadlines_for(**facts)


def test_the_users_timeout_is_the_total() -> None:
    assert deadlines(llm_timeout_seconds=300).total_seconds == 300
    assert deadlines(llm_timeout_seconds=300, heavy=True).total_seconds == 450
    assert deadlines(heavy=True, heavy_multiplier=2).total_seconds == 600


def test_a_cold_model_gets_its_load_on_top() -> None:
    warm = deadlines(learned_load_seconds=20)
    cold = deadlines(learned_load_seconds=20, resident=False)

    assert cold.load_seconds == warm.load_seconds == 60
    assert cold.first_token_seconds == warm.first_token_seconds + 60
    assert cold.total_seconds == warm.total_seconds + 60


def test_a_load_is_learned_else_told_by_size_else_guessed() -> None:
    assert deadlines(learned_load_seconds=40, size_bytes=10**9).load_seconds == 120
    assert deadlines(size_bytes=20 * 10**9).load_seconds == 200
    assert deadlines().load_seconds == 120


def test_the_load_buffer_is_the_floor() -> None:
    assert deadlines(learned_load_seconds=1, load_buffer_seconds=90).load_seconds == 90
    assert deadlines(load_buffer_seconds=2000).load_seconds == 2000


def test_a_slow_model_gets_the_time_its_tokens_need() -> None:
    slow = deadlines(max_tokens=4000, learned_tokens_per_second=10)

    assert 500 < slow.total_seconds <= 600
    assert deadlines(max_tokens=10**6, learned_tokens_per_second=1).total_seconds == 600
    assert deadlines(max_tokens=100, learned_tokens_per_second=50).total_seconds == 300


def test_a_known_quick_start_shortens_the_wait_for_the_first_token() -> None:
    assert deadlines(learned_first_token_seconds=1).first_token_seconds == 30
    assert deadlines(learned_first_token_seconds=20).first_token_seconds == 100
    assert deadlines().first_token_seconds == 120


@given(
    heavy=st.booleans(),
    resident=st.booleans(),
    timeout=st.floats(1, 7200),
    buffer=st.floats(0, 3600),
    load=st.none() | st.floats(0, 3600),
    size=st.none() | st.integers(0, 10**12),
    first=st.none() | st.floats(0, 3600),
    rate=st.none() | st.floats(0, 10_000),
    tokens=st.integers(1, 10**6),
)
def test_every_deadline_is_positive_and_none_exceeds_the_total(
    heavy: bool,
    resident: bool,
    timeout: float,
    buffer: float,
    load: float | None,
    size: int | None,
    first: float | None,
    rate: float | None,
    tokens: int,
) -> None:
    made = deadlines_for(
        llm_timeout_seconds=timeout,
        heavy=heavy,
        load_buffer_seconds=buffer,
        learned_load_seconds=load,
        size_bytes=size,
        learned_first_token_seconds=first,
        max_tokens=tokens,
        learned_tokens_per_second=rate,
        resident=resident,
    )

    assert made.load_seconds >= buffer
    assert 0 < made.first_token_seconds <= made.total_seconds + 1e-6
    assert 0 < made.between_tokens_seconds <= made.total_seconds + 1e-6


def test_a_long_prompt_gets_the_time_that_its_tokens_need() -> None:
    unknown = deadlines(prompt_tokens=11_898, learned_first_token_seconds=1.0)
    learned = deadlines(
        prompt_tokens=11_898, learned_first_token_seconds=1.0, learned_prefill_seconds=1 / 100
    )

    assert unknown.first_token_seconds > 11_898 / 100
    assert learned.first_token_seconds == 11_898 / 100 * 1.5
    assert learned.total_seconds == 300


def test_what_is_ahead_at_the_server_is_waited_for_within_the_total() -> None:
    alone = deadlines(learned_first_token_seconds=1.0)

    assert deadlines(learned_first_token_seconds=1.0, queue_seconds=60).first_token_seconds == (
        alone.first_token_seconds + 60
    )
    assert deadlines(queue_seconds=1000).first_token_seconds == 300
