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
_MARK = re.compile(r"^\s*(?:[-*•–]\s+|\(?\d{1,4}[.):]\s*)+")
_ITEM = re.compile(r"^\s*(?:#{1,6}\s*)?(?:\*\*)?(?:[-*•–]\s+|\(?\d{1,3}[.)]\s*|#{1,6}\s+)")


def without_thoughts(text: str) -> str:
    """The answer proper: a closed thinking block before it is taken off."""
    end = _THOUGHT_END.search(text) if _THOUGHT.match(text) else None
    return text if end is None else text[end.end() :]


def prose(text: str) -> str:
    """The text without fenced code, inline code, addresses."""
    return _INLINE.sub(" ", _FENCE.sub("\n", text))


def sentences(text: str) -> list[str]:
    """Sentences and lines as they stand; marks of lists are left out."""
    parts = _SENTENCE_END.split(text)
    return [_MARK.sub("", part, count=1).strip() for part in parts if part.strip()]


def item_count(text: str) -> int:
    """Lines that are items of a list or headings."""
    return sum(1 for line in text.splitlines() if _ITEM.match(line))


def squeezed(text: str) -> str:
    """Words alone, one space between: equal for texts that differ in case and punctuation."""
    return " ".join(words(text))
