"""Is the answer in the script that the task lets expect? Decided by a margin, never by a few words.

Only scripts are told apart: English from Russian, both from the scripts of East and South Asia,
the Near East and others.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from jobs.policy.validation.phrases import ABOUT_LANGUAGES, OUTPUT_IN
from jobs.policy.validation.text import prose
from jobs.policy.validation.types import Answer, Finding, Request

_MIN_LETTERS = 20
_MIN_FOREIGN_LETTERS = 4
_MIN_UNASKED_LETTERS = 60
_FOREIGN_SHARE = 0.5
_UNASKED_SHARE = 0.9
_LOOKED_AT_CHARS = 20_000
_ASKS = {
    "ru": re.compile(r"\b(?:in|into|to)\s+russian\b|\bна\s+русск(?:ий|ом)\b|по[- ]русски", re.I),
    "en": re.compile(
        r"\b(?:in|into|to)\s+english\b|\bна\s+английск(?:ий|ом)\b|по[- ]английски", re.I
    ),
}
_SENTENCE = re.compile(r"[^.?!:\n]{0,300}[.?!:\n]?")
_SCRIPTS = {"ru": "CYRILLIC", "en": "LATIN"}
_NAMES = {"ru": "Russian", "en": "English"}


def language(answer: Answer, request: Request) -> Finding:
    scripts = _scripts(prose(answer.text[:_LOOKED_AT_CHARS]))
    total = scripts.total()
    foreign = total - scripts["LATIN"] - scripts["CYRILLIC"]
    if total < _MIN_LETTERS and foreign < _MIN_FOREIGN_LETTERS:
        return Finding(1.0)
    wanted = request.language or requested_language(request.instruction)
    if wanted in _NAMES:
        return _mismatch(wanted, scripts, certain=request.language is not None)
    return _expected(scripts, foreign, request)


def _mismatch(wanted: str, scripts: Counter[str], *, certain: bool) -> Finding:
    share = scripts[_SCRIPTS[wanted]] / scripts.total()
    if share >= (0.4 if wanted == "ru" else 0.6):
        return Finding(1.0)
    reason = f"{_NAMES[wanted]} was asked for; {share:.0%} of the letters are"
    # What the words of a task ask for is read with a margin: an answer may quote and explain.
    rejected = share < (0.3 if certain else 0.1)
    return Finding(0.1 if rejected else 0.6, "wrong_language", reason)


def _expected(scripts: Counter[str], foreign: int, request: Request) -> Finding:
    """Nobody named a language: the answer's script should be one that the prompt is written in."""
    total = scripts.total()
    main, count = scripts.most_common(1)[0]
    used = _scripts(request.prompt[:_LOOKED_AT_CHARS])
    if used[main] or ABOUT_LANGUAGES.search(request.instruction):
        return Finding(1.0)
    if main not in _SCRIPTS.values():
        if foreign / total > _FOREIGN_SHARE:
            return Finding(0.1, "wrong_language", f"nobody used the script {main}")
        return Finding(1.0)
    if main == "CYRILLIC" and total >= _MIN_UNASKED_LETTERS and count / total > _UNASKED_SHARE:
        return Finding(0.3, "wrong_language", "an answer in Cyrillic to a task in Latin script")
    return Finding(1.0)


def requested_language(task: str) -> str | None:
    """The one language a task wants its answer in; None where none or both are named, or where
    the language is what a question is about."""
    named = [name for name, pattern in _ASKS.items() if _wants(pattern, task)]
    return named[0] if len(named) == 1 else None


def _wants(pattern: re.Pattern[str], task: str) -> bool:
    for found in pattern.finditer(task[:_LOOKED_AT_CHARS]):
        start = max(task.rfind(mark, 0, found.start()) for mark in ".?!:\n") + 1
        sentence = task[start : found.end()] + (_SENTENCE.match(task, found.end()) or [""])[0]
        if not sentence.rstrip().endswith("?") and OUTPUT_IN.search(sentence):
            return True
    return False


def _scripts(text: str) -> Counter[str]:
    """Letters by script; those of Chinese, Japanese and Korean count as one."""
    return Counter(_script(char) for char in text if char.isalpha())


def _script(char: str) -> str:
    if char < "\u0250":
        return "LATIN"
    if "\u0400" <= char <= "\u052f":
        return "CYRILLIC"
    name = unicodedata.name(char, "OTHER").split(" ", 1)[0]
    return "CJK" if name in ("HIRAGANA", "KATAKANA", "HANGUL") else name
