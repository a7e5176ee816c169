"""Can it be read? Broken encodings and strings of symbols are no text in any language."""

from __future__ import annotations

import re

from jobs.policy.validation.phrases import ABOUT_SIGNS
from jobs.policy.validation.text import prose
from jobs.policy.validation.types import Answer, Finding, Request

_REPLACEMENT = "\ufffd"
_MAX_REPLACEMENT_SHARE = 0.02
_MIN_TOKENS = 10
_MIN_DIFFERENT_SYMBOLS = 6
_MAX_SYMBOL_SHARE = 0.3
# UTF-8 of Russian read as cp1251 puts a capital Er or Es before every letter, also inside words.
_MISREAD = re.compile(r"(?<=\w)[РС](?=[^\s\d])|[РС][\u00a0-\u00bf\u0402-\u040f\u0452-\u045f]")
_MAX_MISREAD_SHARE = 0.2
# UTF-8 read as Latin-1 or cp1252: the first byte of a letter, and one that continues it.
_MISREAD_LATIN = re.compile(
    r"[\u00c2-\u00c5\u00d0\u00d1\u00e2][\u0080-\u00bf\u0152-\u0178\u0192\u02c6\u02dc\u2"
    r"013-\u203a\u20ac\u2122]"
)
_MIN_MISREAD_LATIN = 4
_TOKENIZER_MARK = re.compile(r"[\u0120\u010a](?=\w|[\u0120\u010a]|\s)|\u2581")
_MIN_ARTEFACTS = 3
_USUAL_SYMBOL = re.compile(r"[|:+*/=<>&#•·→←↑↓–—\u2500-\u257f\-]+|[^\w\s]")


def legible(answer: Answer, request: Request) -> Finding:
    text = prose(answer.text)
    replaced = text.count(_REPLACEMENT)
    if replaced > _MAX_REPLACEMENT_SHARE * len(text) or (
        replaced >= _MIN_ARTEFACTS and _REPLACEMENT not in request.prompt
    ):
        return Finding(0.1, "garbage", "the answer is full of replacement characters")
    if _artefacts(text) and not _artefacts(request.prompt):
        return Finding(0.1, "garbage", "the answer holds marks of a tokenizer or misread bytes")
    letters = sum(map(str.isalpha, text))
    if letters >= 20 and len(_MISREAD.findall(text)) > _MAX_MISREAD_SHARE * letters:
        return Finding(0.1, "garbage", "the answer is in a misread encoding")
    drawn = request.category == "coding" or ABOUT_SIGNS.search(request.instruction)
    if not drawn and _symbol_share(text) > _MAX_SYMBOL_SHARE:
        return Finding(0.1, "garbage", "the answer is made of symbols")
    return Finding(1.0)


def _artefacts(text: str) -> bool:
    marks = len(_TOKENIZER_MARK.findall(text))
    misread = len(_MISREAD_LATIN.findall(text))
    return marks >= _MIN_ARTEFACTS or (
        misread >= _MIN_MISREAD_LATIN and 8 * misread > sum(map(str.isalpha, text))
    )


def _symbol_share(text: str) -> float:
    tokens = text.split()
    if len(tokens) < _MIN_TOKENS:
        return 0.0
    odd = [
        token
        for token in tokens
        if not any(map(str.isalnum, token)) and not _USUAL_SYMBOL.fullmatch(token)
    ]
    # Drawings and codes are made of few signs; a broken model uses all it has.
    different = len(set("".join(odd)))
    return len(odd) / len(tokens) if different >= _MIN_DIFFERENT_SYMBOLS else 0.0
