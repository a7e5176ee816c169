"""Finds the beginning that a new prompt shares with recent ones, since later prompts probably share
it too."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

RECENT_PROMPTS = 64
"""Prompts kept per model. A shared file that does not return within so many is not worth its
memory."""
BLOCK_TOKENS = 8
"""Common beginnings are cut to whole blocks, so that few different lengths are cached."""


class RecentPrompts:
    """The token ids of the newest prompts."""

    def __init__(self) -> None:
        self._prompts: deque[tuple[int, ...]] = deque(maxlen=RECENT_PROMPTS)

    def common_tokens(self, tokens: Sequence[int]) -> int:
        """How many first tokens a recent prompt shares, in whole blocks, excluding the last token.
        Remembers ``tokens``."""
        prompt = tuple(tokens)
        longest = 0
        for earlier in self._prompts:
            longest = max(longest, _common(earlier, prompt))
        self._prompts.append(prompt)
        return min(longest, max(0, len(prompt) - 1) // BLOCK_TOKENS * BLOCK_TOKENS)


def _common(earlier: tuple[int, ...], prompt: tuple[int, ...]) -> int:
    length = 0
    while (block := prompt[length : length + BLOCK_TOKENS]) and len(block) == BLOCK_TOKENS:
        if earlier[length : length + BLOCK_TOKENS] != block:
            break
        length += BLOCK_TOKENS
    return length
