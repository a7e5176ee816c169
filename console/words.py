"""Sentences for people in English and Russian. The English sentence is the key.

The English catalogue holds only words of rows that read better otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from console.operations.times import span

LANGUAGES = ("en", "ru")
COUNTED = {name: f"{name} in all" for name in ("completed", "failed", "cancelled")}
"""By state, the words beside a count: what has ended is counted since the first task."""
_CATALOGUES = Path(__file__).parent / "languages"
_UNITS = {
    "about": "примерно",
    "ms": "мс",
    "s": "с",
    "min": "мин",
    "h": "ч",
    "d": "д",
    "ago": "назад",
    "in": "через",
    "bytes": "байт",
    "kB": "кБ",
    "MB": "МБ",
    "GB": "ГБ",
    "TB": "ТБ",
}
_FIELD = re.compile(r"{(\w+)}")
_SPAN = re.compile(r"(?<=\d) (ms|s|min|h|d|bytes|[kMGT]B)\b")
_ABOUT = re.compile(r"\babout (?=[\d.-]+ (?:s|min|h)\b)")
_SHAPES = {"n": r"[\d.,\u202f]+", "span": "[^,;:]+"}
"""What fields of these names stand for; others stand for anything."""
_NAMES = frozenset(
    {
        "backend", "best", "chosen", "department", "hint", "home", "id", "model", "name", "option",
        "other", "setting", "source", "who", "url",
    }
)  # fmt: skip
"""Fields that hold data, which is never translated."""
_BETWEEN = "; "
_PLACED = "{detail} (backend {name})"
"""The reason of an attempt, see ``jobs/policy/outcome.py``: ``detail`` may be any sentence."""
_AT_BACKEND = re.compile(r"(.+) \(backend ([\w.-]+)\)", re.DOTALL)
LEAST_LETTERS = 3
"""A pattern with fewer letters of its own would be found in sentences of strangers."""
LONGEST = 2000
MOST_REMEMBERED = 5000
_UNIT = re.compile(r"\b(about|ms|s|min|h|d|ago|in|bytes|[kMGT]B)\b")


class Words:
    """``words("Waiting")`` is that sentence in ``language``; ``{n}`` is filled from keywords.

    A sentence that was put together before (a reason of the planner, as the database has it) is
    found by its pattern, part by part; what no pattern knows stays as it is.
    """

    def __init__(self, language: str, catalogue: Mapping[str, str]) -> None:
        self.language = language
        self._catalogue = catalogue
        self._patterns = _patterns(catalogue) if language != "en" else ()
        self._found: dict[str, str] = {}

    def __call__(self, sentence: str, **values: Any) -> str:
        if values:
            return self._catalogue.get(sentence, sentence).format(**values)
        if sentence in self._catalogue:
            return self._catalogue[sentence]
        if not self._patterns:
            return sentence
        if sentence not in self._found:
            if len(self._found) >= MOST_REMEMBERED:
                self._found.clear()
            self._found[sentence] = self._units(self._put_together(sentence))
        return self._found[sentence]

    def _put_together(self, text: str) -> str:
        if text in self._catalogue:
            return self._catalogue[text]
        if len(text) > LONGEST or " " not in text:
            return text
        placed = _AT_BACKEND.fullmatch(text)
        if placed:
            detail = self._put_together(placed[1])
            return self._catalogue[_PLACED].format(detail=detail, name=placed[2])
        whole = self._matched(text, [one for one in self._patterns if _BETWEEN in one.sentence])
        if whole is None and _BETWEEN in text:
            whole = _BETWEEN.join(map(self._put_together, text.split(_BETWEEN)))
        if whole is None:
            whole = self._matched(text, [one for one in self._patterns if one.begins])
        if whole is None:
            whole = self._listed(text)
        if whole is None:
            whole = self._matched(text, self._patterns)
        return self._behind_name(text) if whole is None else whole

    def _matched(self, text: str, patterns: Sequence[_Pattern]) -> str | None:
        for pattern in patterns:
            found = pattern.shape.fullmatch(text) if text.startswith(pattern.begins) else None
            if found:
                values = {
                    name: value if name in _NAMES else self._put_together(value)
                    for name, value in found.groupdict().items()
                }
                return pattern.translated.format(**values)
        return None

    def _listed(self, text: str) -> str | None:
        """A list whose every part is known."""
        parts = text.split(", ")
        if len(parts) == 1:
            return None
        known = [self._catalogue.get(part) or self._matched(part, self._patterns) for part in parts]
        return None if None in known else ", ".join(filter(None, known))

    def _behind_name(self, text: str) -> str:
        head, colon, rest = text.partition(": ")
        return self._catalogue.get(head, head) + colon + self._put_together(rest) if colon else text

    def _units(self, text: str) -> str:
        spans = _ABOUT.sub("примерно ", text)
        return _SPAN.sub(lambda found: f" {_UNITS[found[1]]}", spans)


@dataclass(frozen=True, slots=True)
class _Pattern:
    sentence: str
    begins: str
    shape: re.Pattern[str]
    translated: str


def _patterns(catalogue: Mapping[str, str]) -> tuple[_Pattern, ...]:
    """Those with values and enough words of their own to be known by. Those that begin with a word
    go first, then those with the most words."""
    found = []
    for sentence, translated in catalogue.items():
        parts = _FIELD.split(sentence)
        own = "".join(parts[::2])
        if len(parts) == 1 or sum(map(str.isalpha, own)) < LEAST_LETTERS:
            continue
        shape = "".join(
            f"(?P<{part}>{_SHAPES.get(part, '.+?')})" if index % 2 else re.escape(part)
            for index, part in enumerate(parts)
        )
        rank = parts[0] == "", -len(own)
        pattern = _Pattern(sentence, parts[0], re.compile(shape, re.DOTALL), translated)
        found.append((rank, pattern))
    return tuple(pattern for _, pattern in sorted(found, key=lambda one: one[0]))


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
