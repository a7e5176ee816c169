"""Views of an answer that several checks share."""

from __future__ import annotations

import re

from jobs.policy.topics import words

# Every pattern here is bounded: an answer of a megabyte without a space must not take a minute.
_THOUGHT = re.compile(r"\s*<think(?:ing)?>", re.IGNORECASE)
_THOUGHT_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_FENCE = re.compile(
    r"^[ \t]*(?:```|~~~).*?(?:^[ \t]*(?:```|~~~)[ \t]*$|\Z)", re.DOTALL | re.MULTILINE
)
_INLINE = re.compile(r"`[^`\n]+`|https?://\S+|[\w.+-]{1,64}@[\w.-]{1,255}")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n+")
_ITEM = re.compile(r"^\s*(?:#{1,6}\s*)?(?:\*\*)?(?:[-*•–]\s+|\(?\d{1,3}[.)]\s*|#{1,6}\s+)")


def without_thoughts(text: str) -> str:
    """The answer proper: a thinking block before it taken off, white space at the ends stripped."""
    if _THOUGHT.match(text) is None:
        return text.strip()
    end = _THOUGHT_END.search(text)
    return text[end.end() :].strip() if end is not None else text.strip()


def prose(text: str) -> str:
    """The text without fenced code, inline code, addresses."""
    return _INLINE.sub(" ", _FENCE.sub("\n", text))


def sentences(text: str) -> list[str]:
    """Sentences and lines, each reduced to its words."""
    return [" ".join(words(part)) for part in _SENTENCE_END.split(text) if part.strip()]


def item_count(text: str) -> int:
    """Lines that are items of a list or headings."""
    return sum(1 for line in text.splitlines() if _ITEM.match(line))


def squeezed(text: str) -> str:
    """Words alone, one space between: equal for texts that differ in case and punctuation."""
    return " ".join(words(text))
