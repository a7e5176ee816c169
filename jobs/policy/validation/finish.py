"""Did the answer come to its end?"""

from __future__ import annotations

import re

from jobs.policy.validation.text import items
from jobs.policy.validation.types import Answer, Finding, Request

_LONG_PROSE_CHARS = 80
_LOOK_BACK_CHARS = 2000
_CODE_CHARS = 20_000
_SENTENCE_END = re.compile(r"(?<=[^\W\d_][^\W\d_)\"»”][.!?…])[\"»”)]?\s+")
_FENCE_LINE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_OPENING_BRACKETS = {")": "(", "]": "[", "}": "{"}
_LITERAL = re.compile(r"\\.|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|(?:#|//|--)[^\n]*")
_HANGING_CODE = re.compile(
    r"(?:[<=&|,\\]|\s[-+*/%>]|\b(?:and|or|not|in|is|if|while|for|return|def|class|import))\Z"
)
_CLOSED_ITEM = re.compile(r"[.!?;:…»)”\"*`]$")
_FULL_STOP = re.compile(r"[^\W\d_]['\"»”)]?[.!?…]['\"»”)]?$")
_SHORT_CHARS = 300
_SIGNATURE_WORDS = 7
_MIN_CLOSED_ITEMS = 3
_HANGING = re.compile(
    r"(?:[,(\[«–—]|(?:^|\s)(?:and|or|the|a|an|of|to|with|for|in|that|which|because|и|или|"
    r"а|но|в|на|с|"
    r"к|по|для|что|чтобы|как|который|которые|если|при|из|от|не))$",
    re.IGNORECASE,
)


def finished(answer: Answer, request: Request) -> Finding:
    text = answer.text.rstrip()
    if answer.finish_reason == "length":
        # A short text that ends in a full stop was most likely whole when the limit came.
        whole = len(text) <= _SHORT_CHARS and bool(_FULL_STOP.search(text))
        return Finding(0.6 if whole else 0.2, "truncated", "the token limit cut the answer")
    fences = list(_FENCE_LINE.finditer(text))
    if len(fences) % 2:
        inside = text[fences[-1].end() :]
        score = 0.3 if _has_open_bracket(inside) or _goes_on(inside) else 0.7
        return Finding(score, "truncated", "a block of code is not closed")
    if text.startswith(("{", "[")) and _has_open_bracket(text):
        return Finding(0.3, "truncated", "the answer ends inside its brackets")
    if _last_item_stays_open(text):
        return Finding(0.45, "truncated", f'the last item has no end: "...{text[-30:]}"')
    if len(text) >= _LONG_PROSE_CHARS and _stops_inside_a_sentence(text):
        reason = f'the answer stops inside a sentence: "...{text[-30:]}"'
        return Finding(0.4 if _HANGING.search(text[-40:]) else 0.45, "truncated", reason)
    return Finding(1.0)


def _has_open_bracket(code: str) -> bool:
    """Whether a bracket is open at the end; strings and comments do not count."""
    opened: list[str] = []
    for char in _LITERAL.sub(" ", code[-_CODE_CHARS:]):
        if char in "([{":
            opened.append(char)
        elif char in _OPENING_BRACKETS and opened and opened[-1] == _OPENING_BRACKETS[char]:
            opened.pop()
    return bool(opened)


def _goes_on(code: str) -> bool:
    """Whether the last line ends inside a string, or with an operator or a word that goes on."""
    line = code.rpartition("\n")[2]
    return line.count('"') % 2 == 1 or bool(_HANGING_CODE.search(line))


def _last_item_stays_open(text: str) -> bool:
    """The author of a list closes every item with a mark, and the last one ends in a letter."""
    *before, last = items(text) or [""]
    if not last or not text.endswith(last) or not last[-1].isalpha() or len(last.split()) < 3:
        return False
    return len(before) >= _MIN_CLOSED_ITEMS and all(_CLOSED_ITEM.search(item) for item in before)


def _is_signature(words: str) -> bool:
    """A closing or a name: few words, at least half of them with a capital."""
    parts = words.split()
    return len(parts) <= _SIGNATURE_WORDS and 2 * sum(p[0].isupper() for p in parts) >= len(parts)


def _stops_inside_a_sentence(text: str) -> bool:
    """An author who ends sentences with a mark left the last one, on the same line, without."""
    ended = len(_SENTENCE_END.findall(text[-_LOOK_BACK_CHARS:]))
    line = text[-_LOOK_BACK_CHARS:].rpartition("\n")[2]
    *before, last = _SENTENCE_END.split(line)
    if not last or (not last[-1].isalpha() and last[-1] not in ",(–—"):
        return False
    if _is_signature(last):
        return False
    hangs = bool(_HANGING.search(text[-40:]))
    return len(last.split()) >= 3 and (bool(before) or hangs) and ended >= (1 if hangs else 2)
