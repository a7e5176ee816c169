"""A batch that computes tokens and nothing else.

mlx-lm's own normalises the logits of every sequence, cuts them into one array of log probabilities
each, and evaluates those at every step. No request here can ask for them.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx_lm.generate import BatchGenerator, GenerationBatch
from mlx_lm.sample_utils import greedy_sampler


class TokenBatch(GenerationBatch):
    """Reports None where mlx-lm's own batch reports log probabilities."""

    def _step(self) -> Any:
        return _step(self)


def without_log_probabilities(generator: BatchGenerator) -> bool:
    """Make ``generator`` decode with a TokenBatch.

    False where this mlx-lm is built differently: then it decodes as it always does.
    """
    inside: Any = generator
    plain = getattr(inside, "_generation_batch", None)
    if type(plain) is not GenerationBatch or not hasattr(plain, "_step"):
        return False
    inside._generation_batch = TokenBatch.empty(inside.model, inside.sampler)
    return True


def _step(batch: Any) -> tuple[list[int], list[None]]:
    """Begin to compute the next tokens; return the ones that were begun before."""
    inputs = batch._current_tokens = batch._next_tokens
    logits = batch.model(inputs[:, None], cache=batch.prompt_cache)[:, -1, :]
    contexts: list[mx.array] = []
    if any(batch.logits_processors):
        logits = _processed(batch, logits, inputs, contexts)
    batch._next_tokens = _sampled(batch, logits)
    batch._current_logprobs = [None] * len(batch.uids)
    batch._next_logprobs = [None] * len(batch.uids)
    mx.async_eval(batch._next_tokens, contexts)
    tokens = inputs.tolist()
    for sequence, token in zip(batch.tokens, tokens, strict=True):
        sequence.append(token)
    return tokens, [None] * len(tokens)


def _processed(
    batch: Any, logits: mx.array, inputs: mx.array, contexts: list[mx.array]
) -> mx.array:
    """Logits after the processors of each sequence; ``contexts`` gets what they were shown."""
    rows = []
    for number, processors in enumerate(batch.logits_processors):
        row = logits[number : number + 1]
        if processors:
            context = batch._token_context[number].update_and_fetch(inputs[number : number + 1])
            contexts.append(context)
            for processor in processors:
                row = processor(context, row)
        rows.append(row)
    return mx.concatenate(rows, axis=0)


def _sampled(batch: Any, logits: mx.array) -> mx.array:
    """One call where all sequences share their sampler. The likeliest needs no normalising."""
    samplers = batch.samplers or [batch.fallback_sampler]
    shared = all(sampler is samplers[0] for sampler in samplers)
    if shared and samplers[0] is greedy_sampler:
        return mx.argmax(logits, axis=-1)
    logits = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    if shared:
        sampled: mx.array = samplers[0](logits)
        return sampled
    rows = [sampler(logits[n : n + 1]) for n, sampler in enumerate(samplers)]
    return mx.concatenate(rows, axis=0)
