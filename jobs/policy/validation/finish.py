"""Did the answer come to its end?"""

from __future__ import annotations

import re

from jobs.policy.validation.types import Answer, Finding, Request

_LONG_PROSE_CHARS = 80
_LOOK_BACK_CHARS = 2000
_SENTENCE_END = re.compile(r"(?<=[^\W\d_][^\W\d_)\"»”][.!?…])[\"»”)]?\s+")
_FENCE_LINE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_HANGING = re.compile(
    r"(?:[,(\[«–—]|(?:^|\s)(?:and|or|the|a|an|of|to|with|for|in|that|which|because|и|или|а|но|в|на|с|"
    r"к|по|для|что|чтобы|как|который|которые|если|при|из|от|не))$",
    re.IGNORECASE,
)


def finished(answer: Answer, request: Request) -> Finding:
    if answer.finish_reason == "length":
        return Finding(0.2, "truncated", "the token limit cut the answer")
    text = answer.text.rstrip()
    if len(_FENCE_LINE.findall(text)) % 2:
        return Finding(0.7, "truncated", "a block of code is not closed")
    if len(text) >= _LONG_PROSE_CHARS and _stops_inside_a_sentence(text):
        reason = f'the answer stops inside a sentence: "...{text[-30:]}"'
        return Finding(0.4 if _HANGING.search(text[-40:]) else 0.45, "truncated", reason)
    return Finding(1.0)


def _stops_inside_a_sentence(text: str) -> bool:
    """An author who ends sentences with a mark left the last one, on the same line, without."""
    ended = len(_SENTENCE_END.findall(text[-_LOOK_BACK_CHARS:]))
    line = text[-_LOOK_BACK_CHARS:].rpartition("\n")[2]
    *before, last = _SENTENCE_END.split(line)
    if not last or (not last[-1].isalpha() and last[-1] not in ",(–—"):
        return False
    hangs = bool(_HANGING.search(text[-40:]))
    return len(last.split()) >= 3 and (bool(before) or hangs) and ended >= (1 if hangs else 2)
