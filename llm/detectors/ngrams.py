"""Has generation fallen into saying the same few things in any order?

No exact loop, but few different runs of four words among many. Only prose is judged: code, tables
and data repeat their words by right, and are told by their signs and numbers.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from typing import NamedTuple

GRAM_WORDS = 4
WINDOW_GRAMS = 800
MIN_DIFFERENT_SHARE = 0.1
MIN_LETTER_SHARE = 0.8
MAX_SIGNS_PER_WORD = 0.5
MAX_WORD_CHARS = 64

_WORD = re.compile(r"(\W*)(\w+)")


class _Gram(NamedTuple):
    key: int
    is_letters: bool
    signs: int


class NgramWatch:
    """Looks back over the last 800 words; the cost a word is constant."""

    def __init__(self) -> None:
        self._rest = ""
        self._recent: deque[str] = deque(maxlen=GRAM_WORDS)
        self._window: deque[_Gram] = deque()
        self._counts: Counter[int] = Counter()
        self._letters = 0
        self._signs = 0

    def feed(self, text: str) -> str | None:
        """The next piece; the reason when the text says the same again and again."""
        text = self._rest + text
        start = _last_word_start(text)
        text, self._rest = text[:start], text[start:]
        for between, word in _WORD.findall(text):
            self._add(word, signs=len(between) - sum(map(str.isspace, between)))
        if len(self._window) < WINDOW_GRAMS or not self._is_prose():
            return None
        if len(self._counts) >= WINDOW_GRAMS * MIN_DIFFERENT_SHARE:
            return None
        return f"{len(self._counts)} different runs of {GRAM_WORDS} words in {WINDOW_GRAMS}"

    def _is_prose(self) -> bool:
        return (
            self._letters >= WINDOW_GRAMS * MIN_LETTER_SHARE
            and self._signs <= WINDOW_GRAMS * MAX_SIGNS_PER_WORD
        )

    def _add(self, word: str, *, signs: int) -> None:
        self._recent.append(word)
        gram = _Gram(hash(tuple(self._recent)), word.isalpha(), signs)
        self._window.append(gram)
        self._counts[gram.key] += 1
        self._letters += gram.is_letters
        self._signs += signs
        if len(self._window) > WINDOW_GRAMS:
            self._forget(self._window.popleft())

    def _forget(self, gram: _Gram) -> None:
        self._letters -= gram.is_letters
        self._signs -= gram.signs
        self._counts[gram.key] -= 1
        if not self._counts[gram.key]:
            del self._counts[gram.key]


def _last_word_start(text: str) -> int:
    """Where the last word begins, for it may go on; the end, where it is too long for one."""
    start = len(text)
    while start and len(text) - start < MAX_WORD_CHARS and text[start - 1].isalnum():
        start -= 1
    return start
