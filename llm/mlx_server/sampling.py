"""How the next token is chosen: mlx-lm's samplers and logits processors, made once per setting."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import mlx.core as mx
from mlx_lm.sample_utils import (
    apply_min_p,
    apply_top_k,
    apply_top_p,
    make_logits_processors,
    make_sampler,
)

Sampler = Callable[[mx.array], mx.array]
LogitsProcessor = Callable[[mx.array, mx.array], mx.array]

PENALTY_WINDOW_TOKENS = 64
LOWEST_TEMPERATURE = 0.01  # below it the division overflows, and the choice is greedy anyway
LOWEST_TOP_P = 1e-6  # mlx-lm takes 0 for "off", callers mean "only the likeliest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """The sampling wishes of one request; the defaults are greedy and change nothing."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    penalty_window_tokens: int = PENALTY_WINDOW_TOKENS
    logit_bias: tuple[tuple[int, float], ...] = ()


def sampler_for(sampling: Sampling, *, vocabulary: int) -> Sampler:
    """The sampler of a request.

    Requests with the same wishes share one object: a batch with a single sampler is sampled in
    one call. A seeded request has its own, so that its answer does not depend on its neighbours.
    """
    top_k = sampling.top_k if sampling.top_k < vocabulary else 0
    top_p = max(sampling.top_p, LOWEST_TOP_P)
    temperature = sampling.temperature if sampling.temperature >= LOWEST_TEMPERATURE else 0.0
    if temperature and sampling.seed is not None:
        return _SeededSampler(sampling, top_p=top_p, top_k=top_k)
    return _shared_sampler(temperature, top_p, top_k, sampling.min_p)


def processors_for(sampling: Sampling) -> list[LogitsProcessor]:
    """Penalties and biases; empty for most requests, which keeps their batch on the fast path."""
    processors: list[LogitsProcessor] = make_logits_processors(
        logit_bias=dict(sampling.logit_bias),
        repetition_penalty=sampling.repeat_penalty if sampling.repeat_penalty != 1.0 else None,
        repetition_context_size=sampling.penalty_window_tokens,
        presence_penalty=sampling.presence_penalty or None,
        presence_context_size=sampling.penalty_window_tokens,
        frequency_penalty=sampling.frequency_penalty or None,
        frequency_context_size=sampling.penalty_window_tokens,
    )
    return processors


@functools.lru_cache(maxsize=256)
def _shared_sampler(temperature: float, top_p: float, top_k: int, min_p: float) -> Sampler:
    sampler: Sampler = make_sampler(temperature, top_p=top_p, top_k=top_k, min_p=min_p)
    return sampler


class _SeededSampler:
    """Draws with a key of its own instead of the process-wide random state."""

    def __init__(self, sampling: Sampling, *, top_p: float, top_k: int) -> None:
        self._sampling = sampling
        self._top_p = top_p
        self._top_k = top_k
        self._seed = sampling.seed or 0
        self._drawn = 0

    def __call__(self, logprobs: mx.array) -> mx.array:
        wishes = self._sampling
        if self._top_p < 1:
            logprobs = apply_top_p(logprobs, self._top_p)
        if wishes.min_p > 0:
            logprobs = apply_min_p(logprobs, wishes.min_p, 1)
        if self._top_k > 0:
            logprobs = apply_top_k(logprobs, self._top_k)
        self._drawn += 1
        key = mx.random.key((self._seed * 1_000_003 + self._drawn) % 2**63)
        return mx.random.categorical(logprobs / wishes.temperature, key=key)
