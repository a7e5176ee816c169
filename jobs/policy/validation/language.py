"""Is the answer in the language that was asked for? English and Russian are told apart."""

from __future__ import annotations

import re

from jobs.policy.validation.text import prose
from jobs.policy.validation.types import Answer, Finding, Request

_MIN_LETTERS = 20
_EAST_ASIAN_SHARE = 0.2
_ASKS = {
    "ru": re.compile(r"\b(?:in|into|to)\s+russian\b|\bна\s+русск(?:ий|ом)\b|по[- ]русски", re.I),
    "en": re.compile(
        r"\b(?:in|into|to)\s+english\b|\bна\s+английск(?:ий|ом)\b|по[- ]английски", re.I
    ),
}
_EAST_ASIAN_ASKED = re.compile(r"chinese|japanese|korean|китайск|японск|корейск|иероглиф", re.I)
_NAMES = {"ru": "Russian", "en": "English"}


def language(answer: Answer, request: Request) -> Finding:
    cyrillic, latin, east_asian = _letters(prose(answer.text))
    total = cyrillic + latin + east_asian
    if total < _MIN_LETTERS and east_asian < 4:
        return Finding(1.0)
    if east_asian / total > _EAST_ASIAN_SHARE and not _east_asian_expected(request):
        return Finding(0.1, "wrong_language", "the answer is in an East Asian script nobody used")
    wanted = request.language or asked_language(request.asked)
    if wanted is None or wanted not in _NAMES:
        return Finding(1.0)
    share = (cyrillic if wanted == "ru" else latin) / total
    reason = f"{_NAMES[wanted]} was asked for; {share:.0%} of the letters are"
    if share >= (0.4 if wanted == "ru" else 0.6):
        return Finding(1.0)
    return Finding(0.6 if share >= 0.3 else 0.1, "wrong_language", reason)


def asked_language(task: str) -> str | None:
    """The one language a task asks for in words; None where none or both are named."""
    asked = [name for name, pattern in _ASKS.items() if pattern.search(task)]
    return asked[0] if len(asked) == 1 else None


def _east_asian_expected(request: Request) -> bool:
    return _letters(request.prompt)[2] > 0 or bool(_EAST_ASIAN_ASKED.search(request.asked))


def _letters(text: str) -> tuple[int, int, int]:
    cyrillic = latin = east_asian = 0
    for char in text:
        if not char.isalpha():
            continue
        point = ord(char)
        if 0x0400 <= point <= 0x052F:
            cyrillic += 1
        elif 0x3040 <= point <= 0x30FF or 0x3400 <= point <= 0x9FFF or 0xAC00 <= point <= 0xD7AF:
            east_asian += 1
        elif point < 0x0250:
            latin += 1
    return cyrillic, latin, east_asian
