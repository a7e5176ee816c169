"""A batch that computes only tokens, with one model call for running and new sequences.

mlx-lm's own batch also normalises the logits of every sequence, splits them into one array of log
probabilities each, and evaluates those at every step. No request here uses them. It also computes
the first token of new sequences in a call of their own, which reads all weights once more.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx_lm.generate import BatchGenerator, GenerationBatch, PromptProcessingBatch
from mlx_lm.sample_utils import greedy_sampler


class TokenBatch(GenerationBatch):
    """Reports None where mlx-lm's own batch reports log probabilities.

    The first step of a sequence takes the last token of its prompt and reports nothing.
    """

    def _step(self) -> Any:
        return _step(self)

    def next(self) -> list[Any]:
        new = {uid for uid, count in zip(self.uids, self._num_tokens, strict=True) if count < 0}
        return [response for response in super().next() if response.uid not in new]


class _NewSequences(TokenBatch):
    """Sequences that take their first step in the batch that they join."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        inside: Any = self
        inside._next_tokens = inside._next_tokens.astype(mx.uint32)
        inside._next_logprobs = [None] * len(inside.uids)
        inside._num_tokens = [-1] * len(inside.uids)
        inside._matchers = [_AfterPrompt(matcher) for matcher in inside._matchers]

    def _step(self) -> Any:
        """The constructor's step: not here."""


class _AfterPrompt:
    """A matcher of stop sequences that ignores its first token, the last one of the prompt."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher
        self._in_prompt = True

    def advance(self, token: int) -> bool:
        if self._in_prompt:
            self._in_prompt = False
            return False
        return bool(self._matcher.advance(token))


class _PromptBatch(PromptProcessingBatch):
    def generate(self, tokens: list[list[int]]) -> Any:
        """The sequences of this batch; their last ``tokens``, one each, are not yet computed."""
        batch: Any = self
        last = mx.array([token for (token,) in tokens])
        return _NewSequences(
            batch.model, batch.uids, last, batch.prompt_cache, batch.tokens, batch.samplers,
            batch.fallback_sampler, batch.logits_processors, batch.stop_sequences, batch.max_tokens,
        )  # fmt: skip


def compute_tokens_only(generator: BatchGenerator) -> bool:
    """Make ``generator`` decode with a TokenBatch. False if this mlx-lm has another structure: it
    then decodes as usual."""
    inside: Any = generator
    plain = getattr(inside, "_generation_batch", None)
    prompts = getattr(inside, "_prompt_batch", None)
    if type(plain) is not GenerationBatch or type(prompts) is not PromptProcessingBatch:
        return False
    inside._generation_batch = TokenBatch.empty(inside.model, inside.sampler)
    inside._prompt_batch = _PromptBatch.empty(
        inside.model, inside.sampler, inside.prefill_step_size
    )
    return True


def _step(batch: Any) -> tuple[list[int], list[None]]:
    """Start computing the next tokens; return those that were started before."""
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
    """Logits after each sequence's processors; the tokens they saw are added to ``contexts``."""
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
    """Sample in one call where all sequences share their sampler. Greedy sampling needs no
    normalisation."""
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
