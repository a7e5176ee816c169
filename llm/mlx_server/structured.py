"""JSON by constrained decoding: a grammar masks every token that would violate the schema.

llguidance compiles a JSON schema to a grammar over the model's vocabulary and computes the allowed
tokens after every token. Its MLX helper is a Metal kernel, so the mask is applied here with a plain
``where`` that runs everywhere.
"""

from __future__ import annotations

import json
from typing import Any

import llguidance.hf
import mlx.core as mx
import numpy as np
from llguidance import LLMatcher, LLTokenizer

from llm.mlx_server.errors import InvalidRequest

ANY_JSON_OBJECT: dict[str, Any] = {"type": "object"}
COMPILER_OPTIONS: Any = {"whitespace_flexible": False}


def vocabulary_of(hf_tokenizer: Any, *, eos_token_ids: frozenset[int]) -> LLTokenizer:
    """The tokenizer in the form that the grammar engine needs. Building it is slow, so keep it with
    the model. Raises InvalidRequest for a tokenizer that is not a fast one."""
    try:
        return llguidance.hf.from_tokenizer(hf_tokenizer, eos_token=sorted(eos_token_ids))
    except ValueError as error:
        raise InvalidRequest(
            f"structured output needs a fast tokenizer ({error})", field="format"
        ) from error


def compile_schema(schema: dict[str, Any], *, field: str) -> str:
    """The grammar of ``schema``. Raises InvalidRequest naming ``field`` and what is unsupported."""
    try:
        grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema), COMPILER_OPTIONS)
        message = LLMatcher.validate_grammar(grammar)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"unusable JSON schema: {error}", field=field) from error
    if message and not message.startswith("WARNING"):
        raise InvalidRequest(f"unsupported JSON schema: {message}", field=field)
    return grammar


class GrammarProcessor:
    """A logits processor that allows only what the grammar allows.

    ``after_token`` ends the thinking: nothing is masked before it. If ``failure`` is set, the
    answer must not be trusted.
    """

    def __init__(
        self, vocabulary: LLTokenizer, grammar: str, *, after_token: int | None = None
    ) -> None:
        self.failure = ""
        self._matcher = LLMatcher(vocabulary, grammar)
        self._eos = vocabulary.eos_token
        self._after_token = after_token
        self._active = after_token is None
        self._started = False

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        self._read(tokens)
        if not self._active:
            return logits
        return mx.where(self._mask(logits.shape[-1]), logits, -float("inf"))

    def _read(self, tokens: mx.array) -> None:
        """Advance the grammar by the newest token. The first call sees only the prompt."""
        if not self._started:
            self._started = True
            return
        token = int(tokens[-1])
        if not self._active:
            self._active = token == self._after_token
            return
        if not self._matcher.is_stopped() and not self._matcher.consume_token(token):
            self.failure = self._matcher.get_error() or "the grammar refused a token"

    def _mask(self, width: int) -> mx.array:
        mask = np.zeros(width, dtype=np.bool_)
        if self._matcher.is_stopped():
            mask[self._eos] = True
            return mx.array(mask)
        allowed = np.frombuffer(self._matcher.compute_logit_bias(), dtype=np.uint8)
        usable = min(width, allowed.size)
        mask[:usable] = allowed[:usable] != 0
        if not mask.any():
            self.failure = self._matcher.get_error() or "the grammar allows no token"
            mask[self._eos] = True
        return mx.array(mask)
