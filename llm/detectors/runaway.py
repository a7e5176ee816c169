"""Detects a server that ignores the token limit."""

from __future__ import annotations

SPARE_TOKENS = 64
SPARE_SHARE = 0.25
MAX_CHARS_PER_TOKEN = 48
SPARE_CHARS = 8192


def is_runaway(*, tokens: int, chars: int, max_tokens: int) -> bool:
    """True for more pieces than ``max_tokens``, or more characters than so many tokens can hold. A
    streamed piece is at least one token, so pieces never outnumber tokens; the margin covers
    servers that split tokens.
    """
    if tokens > max_tokens * (1 + SPARE_SHARE) + SPARE_TOKENS:
        return True
    return chars > max_tokens * MAX_CHARS_PER_TOKEN + SPARE_CHARS
