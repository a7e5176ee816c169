"""What a new prompt has in common with those before it, and so with those to come."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

RECENT_PROMPTS = 64
"""Of one model; a shared file is seen again within so many prompts, or not worth its memory."""
BLOCK_TOKENS = 16
"""A common beginning is cut here, so that few lengths are kept."""


class RecentPrompts:
    """The token ids of the newest prompts."""

    def __init__(self) -> None:
        self._prompts: deque[tuple[int, ...]] = deque(maxlen=RECENT_PROMPTS)

    def common_tokens(self, tokens: Sequence[int]) -> int:
        """How many first tokens a recent prompt shares, in whole blocks; the last token of
        ``tokens`` is never among them. Remembers ``tokens``."""
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
