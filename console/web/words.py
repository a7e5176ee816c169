"""Sentences of the pages in English and Russian. The English sentence is the key.

The English catalogue holds only words of rows that read better otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from console.operations.times import span

LANGUAGES = ("en", "ru")
_CATALOGUES = Path(__file__).parent / "languages"
_UNITS = {"ms": "мс", "s": "с", "min": "мин", "h": "ч", "d": "д", "ago": "назад", "in": "через"}
_UNIT = re.compile(r"\b(ms|s|min|h|d|ago|in)\b")


class Words:
    """``words("Waiting")`` is that sentence in ``language``; ``{n}`` is filled from keywords."""

    def __init__(self, language: str, catalogue: Mapping[str, str]) -> None:
        self.language = language
        self._catalogue = catalogue

    def __call__(self, sentence: str, **values: Any) -> str:
        found = self._catalogue.get(sentence, sentence)
        return found.format(**values) if values else found


@cache
def words_for(language: str) -> Words:
    """Raises KeyError for a language that is none of LANGUAGES."""
    if language not in LANGUAGES:
        raise KeyError(language)
    text = (_CATALOGUES / f"{language}.json").read_text(encoding="utf-8")
    return Words(language, json.loads(text))


def preferred(chosen: str | None, accept_language: str) -> str:
    """The chosen language, else the browser's first supported one."""
    if chosen in LANGUAGES:
        return str(chosen)
    for part in accept_language.split(","):
        name = part.split(";")[0].strip().lower()[:2]
        if name in LANGUAGES:
            return name
    return "en"


def spoken_span(seconds: float | None, words: Words) -> str:
    return in_words(span(seconds), words)


def in_words(text: str, words: Words) -> str:
    """A span or a distance in time, its units in the language of ``words``."""
    if words.language == "en":
        return text
    if text == "just now":
        return words("just now")
    return _UNIT.sub(lambda found: _UNITS[found[0]], text)
