"""Samplers: what they leave to chance, and what they share."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest

from llm.mlx_server.sampling import DecoderSampling, processors_for, sampler_for

PROBABILITIES = (0.5, 0.25, 0.15, 0.07, 0.03)
DRAWS = 400


def _seen(**wishes: Any) -> set[int]:
    sampler = sampler_for(DecoderSampling(temperature=1.0, **wishes), vocabulary=len(PROBABILITIES))
    logprobs = mx.log(mx.array([PROBABILITIES] * DRAWS))
    return {int(token) for token in sampler(logprobs)}


@pytest.mark.parametrize(
    ("wishes", "allowed"),
    [
        ({}, {0, 1, 2, 3, 4}),
        ({"top_k": 1}, {0}),
        ({"top_k": 2}, {0, 1}),
        ({"top_k": 99}, {0, 1, 2, 3, 4}),
        ({"top_p": 0.0}, {0}),
        ({"top_p": 0.5}, {0}),
        ({"top_p": 0.6}, {0, 1}),
        ({"top_p": 0.8}, {0, 1, 2}),
        ({"top_p": 0.8, "top_k": 2}, {0, 1}),
        ({"min_p": 0.4}, {0, 1}),
        ({"min_p": 1.0}, {0}),
    ],
)
def test_only_the_likeliest_tokens_are_drawn(wishes: dict[str, float], allowed: set[int]) -> None:
    assert _seen(**wishes) == allowed


def test_top_k_needs_no_known_vocabulary() -> None:
    logprobs = mx.log(mx.array([PROBABILITIES] * DRAWS))
    for top_k, allowed in ((1, {0}), (99, {0, 1, 2, 3, 4})):
        sampler = sampler_for(DecoderSampling(temperature=1.0, top_k=top_k), vocabulary=None)
        assert {int(token) for token in sampler(logprobs)} == allowed


def test_a_temperature_near_zero_is_greedy() -> None:
    sampler = sampler_for(DecoderSampling(temperature=1e-300), vocabulary=5)
    assert int(sampler(mx.log(mx.array([PROBABILITIES])))[0]) == 0


def test_the_same_wishes_share_a_sampler_and_seeds_do_not() -> None:
    plain, seeded = DecoderSampling(temperature=0.7), DecoderSampling(temperature=0.7, seed=1)
    assert sampler_for(plain, vocabulary=9) is sampler_for(plain, vocabulary=9)
    assert sampler_for(seeded, vocabulary=9) is not sampler_for(seeded, vocabulary=9)


def test_a_seed_fixes_every_draw() -> None:
    logprobs = mx.log(mx.array([PROBABILITIES]))

    def draws(seed: int) -> list[int]:
        sampler = sampler_for(DecoderSampling(temperature=1.0, seed=seed), vocabulary=5)
        return [int(sampler(logprobs)[0]) for _ in range(30)]

    assert draws(3) == draws(3) != draws(4)


def test_plain_requests_need_no_logits_processor() -> None:
    assert processors_for(DecoderSampling()) == []
    assert len(processors_for(DecoderSampling(repeat_penalty=1.2, logit_bias=((1, -5.0),)))) == 2
