"""The key-value state of prompts that a model server keeps, so that a shared beginning is computed
once.

There are two kinds. Ollama and llama-server keep, per slot, the state of its last prompt; a new
prompt goes to the free slot with the longest common beginning. Servers that batch (our MLX server,
vLLM) keep one store for all streams and evict the least recently used.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate

Segment = tuple[object, int]
"""A piece of a prompt, compared as a whole: (hash, tokens)."""
BLOCK_CHARS = 256
"""About 64 tokens: the block size of both kinds."""
_CHARS_PER_TOKEN = 4


def segments_of(text: str) -> tuple[Segment, ...]:
    """A text in blocks; the incomplete last block is never shared."""
    return tuple(
        (hash(text[at : at + BLOCK_CHARS]), BLOCK_CHARS // _CHARS_PER_TOKEN)
        for at in range(0, len(text) - BLOCK_CHARS + 1, BLOCK_CHARS)
    )


class SlotCaches:
    """One prompt per slot."""

    def __init__(self, slots: int) -> None:
        self._prompts: list[tuple[Segment, ...]] = [()] * slots
        self._free = list(range(slots))

    def take(self, prompt: Sequence[Segment]) -> tuple[int, int]:
        """(slot, cached tokens of ``prompt``); a slot must be free."""
        # The slots that were free for longest come first, so that they lose their state first.
        best = max(self._free, key=lambda slot: _shared(self._prompts[slot], prompt))
        self._free.remove(best)
        cached = _shared(self._prompts[best], prompt)
        self._prompts[best] = tuple(prompt)
        return best, cached

    def give_back(self, slot: int) -> None:
        self._free.append(slot)


class SharedCache:
    """One store for all streams, of at most ``tokens`` tokens (0: no limit)."""

    def __init__(self, tokens: int = 0) -> None:
        self._limit = tokens
        self._kept: OrderedDict[tuple[Segment, ...], int] = OrderedDict()
        self._tokens = 0

    def take(self, prompt: Sequence[Segment]) -> tuple[int, int]:
        """(0, cached tokens of ``prompt``)."""
        cached = 0
        for length in range(1, len(prompt) + 1):
            prefix = tuple(prompt[:length])
            if prefix in self._kept:
                self._kept.move_to_end(prefix)
                cached = sum(tokens for _, tokens in prefix)
            else:
                self._keep(prefix)
        return 0, cached

    def give_back(self, slot: int) -> None:
        """Nothing to do: slots hold no state here."""

    def _keep(self, prefix: tuple[Segment, ...]) -> None:
        self._kept[prefix] = prefix[-1][1]
        self._tokens += prefix[-1][1]
        while self._limit and self._tokens > self._limit and len(self._kept) > 1:
            _, tokens = self._kept.popitem(last=False)
            self._tokens -= tokens


PrefixCache = SlotCaches | SharedCache


def least_computed(prompts: Sequence[Sequence[Segment]]) -> int:
    """The tokens to compute for all these prompts in the best order: each distinct beginning
    once."""
    distinct = {prefix for prompt in prompts for prefix in accumulate((one,) for one in prompt)}
    return sum(prefix[-1][1] for prefix in distinct)


def _shared(kept: Sequence[Segment], prompt: Sequence[Segment]) -> int:
    tokens = 0
    for ours, theirs in zip(kept, prompt, strict=False):
        if ours != theirs:
            break
        tokens += ours[1]
    return tokens
