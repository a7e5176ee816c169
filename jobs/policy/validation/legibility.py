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
_USUAL_SYMBOL = re.compile(r"[|:+*/=<>&#•·→←↑↓–—\u2500-\u257f\-]+|[^\w\s]")


def legible(answer: Answer, request: Request) -> Finding:
    text = prose(answer.text)
    if text.count(_REPLACEMENT) > _MAX_REPLACEMENT_SHARE * len(text):
        return Finding(0.1, "garbage", "the answer is full of replacement characters")
    letters = sum(map(str.isalpha, text))
    if letters >= 20 and len(_MISREAD.findall(text)) > _MAX_MISREAD_SHARE * letters:
        return Finding(0.1, "garbage", "the answer is in a misread encoding")
    drawn = request.category == "coding" or ABOUT_SIGNS.search(request.instruction)
    if not drawn and _symbol_share(text) > _MAX_SYMBOL_SHARE:
        return Finding(0.1, "garbage", "the answer is made of symbols")
    return Finding(1.0)


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
