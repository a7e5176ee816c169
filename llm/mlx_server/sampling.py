"""How the next token is chosen.

mlx-lm's own samplers are compiled functions that take their settings as constants: every new
temperature or top_p costs a compilation (seconds on a CPU) and stays in memory for ever. Ours are
plain operations. Its logits processors are not compiled and are used as they are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import mlx.core as mx
from mlx_lm.sample_utils import greedy_sampler, make_logits_processors

Sampler = Callable[[mx.array], mx.array]
LogitsProcessor = Callable[[mx.array, mx.array], mx.array]

PENALTY_WINDOW_TOKENS = 64
LOWEST_TEMPERATURE = 0.01  # Below it the division overflows, and the choice is greedy anyway.
SHARED_SAMPLERS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderSampling:
    """The sampling options of one request; the defaults are greedy."""

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


def sampler_for(sampling: DecoderSampling, *, vocabulary: int | None) -> Sampler:
    """The sampler of a request; ``vocabulary`` is the width of the logits, where known.

    Requests with equal options share one object: a batch with a single sampler is sampled in one
    call. A seeded request has its own, so that its answer does not depend on other requests.
    """
    if sampling.temperature < LOWEST_TEMPERATURE:
        return greedy_sampler
    top_k = sampling.top_k if vocabulary is None else min(sampling.top_k, vocabulary)
    options = (sampling.temperature, sampling.top_p, top_k, sampling.min_p)
    return _shared_sampler(*options) if sampling.seed is None else _Draw(*options, sampling.seed)


def processors_for(sampling: DecoderSampling) -> list[LogitsProcessor]:
    """Penalties and biases. Empty for most requests, which keeps their batch fast."""
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


class _Draw:
    """Draws from the likeliest tokens. With a seed it derives a new key for every draw."""

    def __init__(
        self, temperature: float, top_p: float, top_k: int, min_p: float, seed: int | None = None
    ) -> None:
        self._temperature = temperature
        self._top_p = top_p
        self._top_k = top_k
        self._min_p = min_p
        self._seed = seed
        self._drawn = 0

    def __call__(self, logprobs: mx.array) -> mx.array:
        """Map ``logprobs`` of shape (sequences, vocabulary) to tokens of shape (sequences,)."""
        kept = logprobs
        if self._top_p < 1 or self._top_k > 0:
            kept = mx.where(logprobs < self._nucleus_floor(logprobs), -math.inf, kept)
        if self._min_p > 0:
            floor = mx.max(logprobs, axis=-1, keepdims=True) + math.log(self._min_p)
            kept = mx.where(logprobs < floor, -math.inf, kept)
        return mx.random.categorical(kept / self._temperature, key=self._next_key())

    def _nucleus_floor(self, logprobs: mx.array) -> mx.array:
        """The log probability of the least likely token that top_p and top_k allow."""
        descending = mx.sort(logprobs, axis=-1)[..., ::-1]
        probabilities = mx.exp(descending.astype(mx.float32))
        mass_above = mx.cumsum(probabilities, axis=-1) - probabilities
        allowed = mx.sum(mass_above < self._top_p, axis=-1, keepdims=True)
        if self._top_k > 0:
            allowed = mx.minimum(allowed, self._top_k)
        return mx.take_along_axis(descending, mx.maximum(allowed, 1) - 1, axis=-1)

    def _next_key(self) -> mx.array | None:
        if self._seed is None:
            return None
        self._drawn += 1
        return mx.random.key((self._seed * 1_000_003 + self._drawn) % 2**63)


@functools.lru_cache(maxsize=SHARED_SAMPLERS)
def _shared_sampler(temperature: float, top_p: float, top_k: int, min_p: float) -> Sampler:
    return _Draw(temperature, top_p, top_k, min_p)
