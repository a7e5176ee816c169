"""The batch that computes only tokens decodes as mlx-lm's own does, in fewer model calls."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.generate import BatchGenerator
from mlx_lm.utils import load_model

from llm.mlx_server.sampling import DecoderSampling, processors_for, sampler_for
from llm.mlx_server.token_batch import TokenBatch, compute_tokens_only
from tests.support.tiny_models import build_llama

VOCABULARY = 424
GREEDY = DecoderSampling()
SEEDED = [DecoderSampling(temperature=0.9, top_p=0.8, seed=number) for number in range(3)]
BIASED = DecoderSampling(logit_bias=((7, 4.0),), repeat_penalty=1.3)
SEEDED_AND_BIASED = DecoderSampling(temperature=0.7, top_k=20, seed=5, presence_penalty=0.5)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("models") / "llama"
    build_llama(folder)
    return load_model(folder)[0]


def _answers(generator: BatchGenerator, wishes: list[DecoderSampling]) -> list[list[int]]:
    """Answers of different lengths, so that the batch shrinks and grows."""
    dice = random.Random(3)
    uids = [
        generator.insert(
            [[dice.randrange(1, 400) for _ in range(4 + 3 * number)]],
            max_tokens=[6 + 5 * number],
            samplers=[sampler_for(wish, vocabulary=VOCABULARY)],
            logits_processors=[processors_for(wish)],
        )[0]
        for number, wish in enumerate(wishes)
    ]
    answers: dict[int, list[int]] = {uid: [] for uid in uids}
    left = set(uids)
    while left:
        for response in generator.next()[1]:
            answers[response.uid].append(response.token)
            if response.finish_reason is not None:
                left.discard(response.uid)
    return [answers[uid] for uid in uids]


@pytest.mark.parametrize(
    "wishes",
    [
        pytest.param([GREEDY] * 6, id="all greedy"),
        pytest.param(SEEDED, id="each its own sampler"),
        pytest.param([DecoderSampling(temperature=0.8, top_p=0.9)] * 4, id="a shared sampler"),
        pytest.param([GREEDY, BIASED, *SEEDED, SEEDED_AND_BIASED], id="all kinds"),
    ],
)
def test_it_decodes_what_the_plain_batch_decodes(model: Any, wishes: list[DecoderSampling]) -> None:
    plain, lean = (BatchGenerator(model, completion_batch_size=4) for _ in range(2))
    assert compute_tokens_only(lean), "this mlx-lm is built differently"

    mx.random.seed(11)
    expected = _answers(plain, wishes)
    mx.random.seed(11)

    assert _answers(lean, wishes) == expected


def test_a_sequence_that_joins_needs_no_model_call_of_its_own(model: Any) -> None:
    def widths(generator: BatchGenerator) -> list[int]:
        counted = _Counted(model)
        generator.model = generator._prompt_batch.model = generator._generation_batch.model = (
            counted
        )
        _answers(generator, [GREEDY] * 3)
        return counted.single_token_widths

    plain, lean = (BatchGenerator(model, prefill_batch_size=1) for _ in range(2))
    assert compute_tokens_only(lean)

    assert len(widths(lean)) <= len(widths(plain)) - 2


def test_a_prompt_that_ends_with_a_stop_token_is_answered(model: Any) -> None:
    plain, lean = (BatchGenerator(model, stop_tokens=[[9]]) for _ in range(2))
    assert compute_tokens_only(lean)

    answers = []
    for generator in (plain, lean):
        generator.insert([[5, 6, 9]], max_tokens=[8])
        steps = [generator.next()[1] for _ in range(12)]
        answers.append([response.token for responses in steps for response in responses])

    assert len(answers[0]) == 8
    assert answers[0] == answers[1]


class _Counted:
    """A model that notes how many sequences each call for single tokens had."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.layers = model.layers
        self.single_token_widths: list[int] = []

    def __call__(self, tokens: mx.array, **arguments: Any) -> mx.array:
        if tokens.shape[1] == 1:
            self.single_token_widths.append(tokens.shape[0])
        logits: mx.array = self._model(tokens, **arguments)
        return logits


def test_a_generator_that_is_built_differently_is_left_alone() -> None:
    generator: Any = SimpleNamespace(_generation_batch=object())

    assert not compute_tokens_only(generator)
    assert not isinstance(generator._generation_batch, TokenBatch)
