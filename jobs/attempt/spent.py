"""The cost of the calls of one attempt."""

from __future__ import annotations

from dataclasses import dataclass

from llm.types import Completion, GenerateRequest
from models.task import Measures


@dataclass(slots=True)
class Spent:
    """The total cost of an attempt's calls, with the last request and its answer."""

    load_seconds: float = 0.0
    first_token_seconds: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_prompt_tokens: int | None = None
    prefill_seconds: float | None = 0.0
    decode_seconds: float | None = 0.0
    calls: int = 0
    request: GenerateRequest | None = None
    answer: str | None = None

    def add(self, completion: Completion, load_seconds: float) -> None:
        self.calls += 1
        self.load_seconds += load_seconds
        if self.first_token_seconds is None:
            self.first_token_seconds = completion.first_token_seconds
        self.prompt_tokens += completion.prompt_tokens or 0
        self.completion_tokens += completion.completion_tokens
        self.answer = completion.text
        if completion.cached_prompt_tokens is not None:
            self.cached_prompt_tokens = (
                self.cached_prompt_tokens or 0
            ) + completion.cached_prompt_tokens
        self.prefill_seconds = _sum(self.prefill_seconds, completion.prefill_seconds)
        self.decode_seconds = _sum(self.decode_seconds, completion.decode_seconds)

    def measures(self, *, wait_seconds: float | None, duration_seconds: float) -> Measures:
        return Measures(
            wait_seconds=wait_seconds,
            load_seconds=round(self.load_seconds, 4),
            first_token_seconds=self.first_token_seconds,
            duration_seconds=round(duration_seconds, 4),
            prompt_tokens=self.prompt_tokens or None,
            completion_tokens=self.completion_tokens or None,
            cached_prompt_tokens=self.cached_prompt_tokens,
            prefill_seconds=self.prefill_seconds if self.calls else None,
            decode_seconds=self.decode_seconds if self.calls else None,
        )


def _sum(so_far: float | None, more: float | None) -> float | None:
    """None as soon as one call has no figure."""
    return None if so_far is None or more is None else so_far + more
