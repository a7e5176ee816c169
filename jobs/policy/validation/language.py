"""Checks that the answer is in the script of the task; a few foreign words change nothing.

Only scripts are distinguished: English from Russian, both from the scripts of East and South Asia,
the Near East and others.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from jobs.policy.validation.phrases import ABOUT_LANGUAGES, ASKS_CODE, OUTPUT_IN
from jobs.policy.validation.text import prose
from jobs.policy.validation.types import Answer, Finding, Request

_MIN_LETTERS = 20
_MIN_FOREIGN_LETTERS = 4
_MIN_UNASKED_LETTERS = 60
_FOREIGN_SHARE = 0.5
_UNASKED_SHARE = 0.9
_MIN_SWITCHED = 8
_SWITCHED_SHARE = 0.08
_QUOTED_SHARE = 0.1
_CODE_SHARE = 0.6
_LOOKED_AT_CHARS = 20_000
_ASKS = {
    "ru": re.compile(r"\b(?:in|into|to)\s+russian\b|\bна\s+русск(?:ий|ом)\b|по[- ]русски", re.I),
    "en": re.compile(
        r"\b(?:in|into|to)\s+english\b|\bна\s+английск(?:ий|ом)\b|по[- ]английски", re.I
    ),
}
_NOT_RUSSIAN = re.compile(r"\b\w*[іїєґўђћџљњј]\w*", re.IGNORECASE)
_MIN_OTHER_WORDS = 3
_CODE_LINE = re.compile(r"^[ \t]*(?:[A-Z]{3,}\b|[\w.]{1,80}\(|[#$@{}<]|\w{1,80}\s?[=:])")
_NAMES_CODE = re.compile(
    r"\b(?:sql|regex|bash|shell|python|javascript|typescript|css|html|json|yaml|xml|"
    r"docker|nginx|git|"
    r"go|rust|java|kotlin|php|ruby|функци\w*|команд\w*|скрипт\w*|код|кода)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.?!:\n]{0,300}[.?!:\n]?")
_SCRIPTS = {"ru": "CYRILLIC", "en": "LATIN"}
_KNOWN = frozenset({"LATIN", "CYRILLIC", "GREEK", "OTHER"})
_NAMES = {"ru": "Russian", "en": "English"}


def language(answer: Answer, request: Request) -> Finding:
    scripts = _scripts(prose(answer.text[:_LOOKED_AT_CHARS]))
    total = scripts.total()
    foreign = total - scripts["LATIN"] - scripts["CYRILLIC"]
    if total < _MIN_LETTERS and foreign < _MIN_FOREIGN_LETTERS:
        return Finding(1.0)
    wanted = request.language or requested_language(request.instruction)
    switched = _switched(answer.text, scripts, wanted, request)
    if switched is not None:
        return switched
    if wanted in _NAMES:
        if _is_code(answer.text, request):
            return Finding(1.0)
        return _mismatch(wanted, scripts, certain=request.language is not None)
    return _expected(answer.text, scripts, foreign, request)


def _switched(
    text: str, scripts: Counter[str], wanted: str | None, request: Request
) -> Finding | None:
    """A part of the answer is in a script or a language that nobody used or spoke of."""
    if ABOUT_LANGUAGES.search(request.instruction) and wanted is None:
        return None
    used = _scripts(request.prompt[:_LOOKED_AT_CHARS])
    strange = sum(n for script, n in scripts.items() if script not in _KNOWN and not used[script])
    if strange >= _MIN_SWITCHED and strange / scripts.total() > _SWITCHED_SHARE:
        return Finding(0.1, "wrong_language", f"{strange} letters of a script that nobody used")
    russian = wanted == "ru" or (wanted is None and used["CYRILLIC"] > used["LATIN"])
    other = _NOT_RUSSIAN.findall(text[:_LOOKED_AT_CHARS])
    if russian and len(other) >= _MIN_OTHER_WORDS and not _NOT_RUSSIAN.search(request.prompt):
        return Finding(0.2, "wrong_language", f"words of another Cyrillic language: {other[0]}")
    return None


def _is_code(text: str, request: Request) -> bool:
    """Most lines are code, and code was asked for: it has no language of people."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    asks = ASKS_CODE.search(request.instruction) or _NAMES_CODE.search(request.instruction)
    code = sum(line.endswith((";", "{", "}")) or bool(_CODE_LINE.match(line)) for line in lines)
    return bool(asks) and code >= _CODE_SHARE * len(lines)


def _mismatch(wanted: str, scripts: Counter[str], *, certain: bool) -> Finding:
    share = scripts[_SCRIPTS[wanted]] / scripts.total()
    if share >= (0.4 if wanted == "ru" else 0.6):
        return Finding(1.0)
    reason = f"{_NAMES[wanted]} was asked for; {share:.0%} of the letters are"
    # What the words of a task ask for is read with a margin: an answer may quote and explain.
    rejected = share < (0.3 if certain else 0.1)
    return Finding(0.1 if rejected else 0.6, "wrong_language", reason)


def _expected(text: str, scripts: Counter[str], foreign: int, request: Request) -> Finding:
    """Nobody named a language: the answer's script should be one that the prompt is written in."""
    total = scripts.total()
    main, count = scripts.most_common(1)[0]
    used = _scripts(request.prompt[:_LOOKED_AT_CHARS])
    if used[main] > _QUOTED_SHARE * used.total() or ABOUT_LANGUAGES.search(request.instruction):
        return Finding(1.0)
    if main not in _SCRIPTS.values():
        if foreign / total > _FOREIGN_SHARE:
            return Finding(0.1, "wrong_language", f"nobody used the script {main}")
        return Finding(1.0)
    if main == "LATIN" and total >= _MIN_UNASKED_LETTERS and count / total > _UNASKED_SHARE:
        if _is_code(text, request):
            return Finding(1.0)
        return Finding(0.3, "wrong_language", "an answer in Latin script to a task in Cyrillic")
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
