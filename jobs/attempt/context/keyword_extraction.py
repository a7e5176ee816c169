"""Extracts keywords from a task whose creator gave none."""

from __future__ import annotations

import re

from jobs.policy.topics import words

MAX_KEYWORDS = 12
_IDENTIFIER = re.compile(
    r"`([^`\n]{2,80})`|\b([^\W_]+(?:[._][^\W_]+)+|[a-z]+[A-Z]\w*|[A-Z][a-z]+[A-Z]\w*)\b"
)
_MIN_WORD_CHARS = 6
_ENDING_CHARS = 2
_COMMON_WORDS = """
please should before between without because another through example following create describe
explain summarise summarize function return
пожалуйста нужно должен должна который которые чтобы после перед между например опиши напиши
объясни создай функция
"""
_COMMON = frozenset(_COMMON_WORDS.split())


def keywords_of(text: str) -> tuple[str, ...]:
    """Identifiers first, then long words without their endings, in order of appearance; at most
    ``MAX_KEYWORDS``."""
    names = [quoted or plain for quoted, plain in _IDENTIFIER.findall(text)]
    longer = [
        word[: max(_MIN_WORD_CHARS - 1, len(word) - _ENDING_CHARS)]
        for word in words(text)
        if len(word) >= _MIN_WORD_CHARS and word not in _COMMON
    ]
    return tuple(dict.fromkeys([*names, *longer]))[:MAX_KEYWORDS]
