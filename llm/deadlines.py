"""How long each phase of a call may take: learned from history, else conservative defaults."""

from __future__ import annotations

from llm.errors import FirstTokenTimeout, QueueTimeout
from llm.types import Deadlines

UNKNOWN_LOAD_SECONDS = 120.0
MIN_LOAD_SECONDS = 15.0
MAX_LOAD_SECONDS = 900.0
SLOW_DISK_BYTES_PER_SECOND = 100_000_000
LEARNED_LOAD_MARGIN = 3.0

MIN_FIRST_TOKEN_SECONDS = 30.0
FIRST_TOKEN_SHARE_OF_TOTAL = 0.4
LEARNED_FIRST_TOKEN_MARGIN = 5.0

SLOWEST_PREFILL_TOKENS_PER_SECOND = 50.0
"""The assumed prompt speed where nothing was learned: a large model on a CPU."""
LEARNED_PREFILL_MARGIN = 1.5
"""Applied to the 95th percentile; covers what no sample has shown yet."""

BETWEEN_TOKENS_SECONDS = 30.0
SLOW_TOKENS_BEFORE_STALL = 20.0

DECODE_MARGIN = 1.25
MAX_TOTAL_STRETCH = 2.0


def deadlines_for(
    *,
    llm_timeout_seconds: float = 300.0,
    heavy: bool,
    heavy_multiplier: float = 1.5,
    load_buffer_seconds: float = 0.0,
    learned_load_seconds: float | None = None,
    size_bytes: int | None = None,
    learned_first_token_seconds: float | None = None,
    max_tokens: int,
    learned_tokens_per_second: float | None = None,
    prompt_tokens: int = 0,
    learned_prefill_seconds: float | None = None,
    queue_seconds: float = 0.0,
    resident: bool,
) -> Deadlines:
    """Deadlines of one call, in seconds.

    The total is ``llm_timeout_seconds`` (times ``heavy_multiplier`` for a heavy model). It grows to
    at most twice that where the learned rate shows that ``max_tokens`` need longer.

    The first token may take ``prompt_tokens`` times ``learned_prefill_seconds`` (seconds per token,
    a high quantile), plus ``queue_seconds`` for our own requests ahead of it. Neither extends the
    total.

    A model that is not resident may load inside the call: the load deadline is then added to the
    first token's and to the total.
    """
    weight = heavy_multiplier if heavy else 1.0
    load = weight * _load_seconds(load_buffer_seconds, learned_load_seconds, size_bytes)
    load = min(max(load, load_buffer_seconds), max(MAX_LOAD_SECONDS, load_buffer_seconds))
    bound = llm_timeout_seconds * weight
    usual = weight * _first_token(llm_timeout_seconds, learned_first_token_seconds)
    prefill = prefill_seconds(prompt_tokens, learned_prefill_seconds)
    first_token = min(max(usual, prefill) + queue_seconds, bound)
    total = _total_seconds(bound, first_token, max_tokens, learned_tokens_per_second)
    cold = 0.0 if resident else load
    return Deadlines(
        load_seconds=load,
        first_token_seconds=first_token + cold,
        between_tokens_seconds=min(weight * _between_tokens(learned_tokens_per_second), bound),
        total_seconds=total + cold,
    )


def prefill_seconds(prompt_tokens: int, learned_per_token: float | None) -> float:
    """The longest time that processing the prompt is expected to take."""
    if learned_per_token is None:
        return prompt_tokens / SLOWEST_PREFILL_TOKENS_PER_SECOND
    return prompt_tokens * learned_per_token * LEARNED_PREFILL_MARGIN


def explained(
    late: FirstTokenTimeout,
    *,
    allowed_seconds: float,
    queue_seconds: float,
    prefill_seconds: float,
) -> FirstTokenTimeout:
    """``late``, whose first token did not come in ``allowed_seconds``, or what it is instead where
    that is no evidence against the server: our requests ahead were expected to take longer, or the
    prompt alone was, which is the request's own fault."""
    if queue_seconds > 0 and queue_seconds + prefill_seconds > allowed_seconds:
        return QueueTimeout(
            f"{late}; our other requests there take about {queue_seconds:.0f} s",
            backend=late.backend,
            model=late.model,
        )
    if prefill_seconds > allowed_seconds:
        return FirstTokenTimeout(
            f"{late}; the prompt alone may take {prefill_seconds:.0f} s there",
            backend=late.backend,
            model=late.model,
            concerns="request",
        )
    return late


def _load_seconds(buffer: float, learned: float | None, size_bytes: int | None) -> float:
    if learned is not None:
        expected = learned * LEARNED_LOAD_MARGIN
    elif size_bytes is not None:
        expected = size_bytes / SLOW_DISK_BYTES_PER_SECOND
    else:
        expected = UNKNOWN_LOAD_SECONDS
    return max(buffer, expected, MIN_LOAD_SECONDS)


def _first_token(llm_timeout_seconds: float, learned: float | None) -> float:
    if learned is None:
        return llm_timeout_seconds * FIRST_TOKEN_SHARE_OF_TOTAL
    return max(MIN_FIRST_TOKEN_SECONDS, learned * LEARNED_FIRST_TOKEN_MARGIN)


def _between_tokens(rate: float | None) -> float:
    if not rate or rate <= 0:
        return BETWEEN_TOKENS_SECONDS
    return max(BETWEEN_TOKENS_SECONDS, SLOW_TOKENS_BEFORE_STALL / rate)


def _total_seconds(bound: float, first_token: float, max_tokens: int, rate: float | None) -> float:
    if not rate or rate <= 0:
        return bound
    expected = first_token + DECODE_MARGIN * max_tokens / rate
    return min(max(bound, expected), bound * MAX_TOTAL_STRETCH)
