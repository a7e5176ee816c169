"""Did the answer come to its end?"""

from __future__ import annotations

import re

from jobs.policy.validation.types import Answer, Finding, Request

_LONG_PROSE_CHARS = 80
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
    if len(text) >= _LONG_PROSE_CHARS and _HANGING.search(text[-40:]):
        return Finding(0.3, "truncated", f'the answer stops inside a sentence: "...{text[-30:]}"')
    return Finding(1.0)
