"""Detects loops without exact repetition: few distinct four-word sequences among many.

Only prose is checked. Code, tables and data repeat words legitimately; they are recognised by their
symbols and digits.
"""

from __future__ import annotations

import re
import zlib

GRAM_WORDS = 4
MIN_WORDS = 600
MIN_DIFFERENT_SHARE = 0.1
MIN_LETTER_SHARE = 0.8
MAX_SIGNS_PER_WORD = 0.5
SUSPICIOUS_RATIO = 0.15

_WORD = re.compile(r"\w+")


def phrase_loop(text: str) -> str | None:
    """Why the last few thousand characters of an answer are a loop of phrases, or None. A
    compression check runs first: it is cheap, and good prose never shrinks to a seventh."""
    data = text.encode("utf-8", "replace")
    if len(zlib.compress(data, 1)) > len(data) * SUSPICIOUS_RATIO:
        return None
    words = _WORD.findall(text)
    if len(words) < MIN_WORDS or not _is_prose(text, words):
        return None
    grams = {tuple(words[start : start + GRAM_WORDS]) for start in range(len(words))}
    if len(grams) >= len(words) * MIN_DIFFERENT_SHARE:
        return None
    return f"{len(grams)} different runs of {GRAM_WORDS} words in {len(words)}"


def _is_prose(text: str, words: list[str]) -> bool:
    letters = sum(map(str.isalpha, words))
    signs = len(text) - sum(map(len, words)) - sum(map(str.isspace, text))
    return letters >= len(words) * MIN_LETTER_SHARE and signs <= len(words) * MAX_SIGNS_PER_WORD
