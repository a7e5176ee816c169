"""Views of an answer that several checks share."""

from __future__ import annotations

import re

from jobs.policy.topics import stem, words

_THOUGHT = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(
    r"^[ \t]*(?:```|~~~).*?(?:^[ \t]*(?:```|~~~)[ \t]*$|\Z)", re.DOTALL | re.MULTILINE
)
_INLINE = re.compile(r"`[^`\n]+`|https?://\S+|\S+@\S+\.\w+")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n+")
_ITEM = re.compile(r"^\s*(?:#{1,6}\s*)?(?:\*\*)?(?:[-*•–]\s+|\(?\d{1,3}[.)]\s*|#{1,6}\s+)")


def without_thoughts(text: str) -> str:
    """The answer proper: closed thinking blocks taken out, white space at the ends stripped."""
    return _THOUGHT.sub("", text).strip()


def prose(text: str) -> str:
    """The text without fenced code, inline code, addresses."""
    return _INLINE.sub(" ", _FENCE.sub("\n", text))


def sentences(text: str) -> list[str]:
    """Sentences and lines, each reduced to its words."""
    return [" ".join(words(part)) for part in _SENTENCE_END.split(text) if part.strip()]


def item_count(text: str) -> int:
    """Lines that are items of a list or headings."""
    return sum(1 for line in text.splitlines() if _ITEM.match(line))


def stems(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in words(text))


def squeezed(text: str) -> str:
    """Words alone, one space between: equal for texts that differ in case and punctuation."""
    return " ".join(words(text))
