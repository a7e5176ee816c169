"""The verdict on one answer.

Every check gives a finding from 0 to 1; the score is their product, so one failed check is enough
to reject and several doubts add up. What fails is the structure of an answer. Its words are hints:
they lower the score, and reject only beside evidence of another kind.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from math import prod

from jobs.policy.validation.completeness import complete
from jobs.policy.validation.engagement import engaged
from jobs.policy.validation.filling import filled
from jobs.policy.validation.finish import finished
from jobs.policy.validation.language import language
from jobs.policy.validation.legibility import legible
from jobs.policy.validation.originality import original
from jobs.policy.validation.phrases import ABOUT_SIGNS
from jobs.policy.validation.structure import structured
from jobs.policy.validation.substance import substantial
from jobs.policy.validation.text import without_thoughts
from jobs.policy.validation.types import THRESHOLD, Answer, Finding, Request, Verdict
from jobs.policy.validation.variety import varied
from llm.detectors.blank import is_blank
from llm.detectors.repetition import INVISIBLE

_SIGN_CHARS = 8
_DOTS = frozenset(".…")
_EMPTY_ITEMS = re.compile(r"\A(?:\s*(?:\d{1,3}[.)]|[-*•])[ \t]*(?:\n|\Z)){2,}\s*\Z")
_QUOTES = "\"'`«»“”()"
_DASHES = frozenset("-–—")
_TAG = re.compile(r"<[^<>\n]{1,40}>")
Check = Callable[[Answer, Request], Finding]

# In the order in which a fault is named where several are equally bad.
_PROSE: dict[str, Check] = {
    "original": original,
    "engaged": engaged,
    "legible": legible,
    "varied": varied,
    "finished": finished,
    "language": language,
    "complete": complete,
    "filled": filled,
    "substance": substantial,
}
_STRUCTURED: dict[str, Check] = {"original": original, "schema": structured, "complete": complete}


def judge(answer: Answer, request: Request) -> Verdict:
    """Whether ``answer`` may stand as the result of ``request``, with the reason if not."""
    if request.verbatim:
        return _as_it_came(answer, request)
    if _says_nothing(answer.text, request):
        return _blank("the answer is blank")
    text = without_thoughts(answer.text)
    if is_blank(text):
        return _blank("the answer holds thinking alone", code="thinking_only")
    judged = Answer(text, answer.finish_reason)
    checks = _PROSE if request.response_schema is None else _STRUCTURED
    findings: dict[str, Finding] = {}
    for name, check in checks.items():
        if request.abandoned is not None and request.abandoned():
            findings[name] = Finding(0.0, "rejected", "the answer takes too long to judge")
            break
        findings[name] = check(judged, request)
    return _verdict(findings)


def _as_it_came(answer: Answer, request: Request) -> Verdict:
    """Check only the schema: a caller whose messages are sent unchanged judges the answer."""
    if request.response_schema is None or answer.finish_reason == "length":
        return _verdict({})
    return _verdict({"schema": structured(answer, request)})


def _says_nothing(text: str, request: Request) -> bool:
    """Whether there is nothing to read. Signs alone count where they differ, or the task is about
    signs."""
    if _EMPTY_ITEMS.match(text):
        return True
    about_signs = bool(ABOUT_SIGNS.search(request.instruction))
    bare = text if about_signs else _TAG.sub("", text)
    if any(map(str.isalnum, bare)) or request.response_schema is not None:
        return is_blank(text)
    signs = {char for char in bare if not char.isspace()} - set(INVISIBLE)
    about_signs = about_signs or _are_named(signs, request.instruction)
    if signs <= _DOTS and not about_signs:
        return True
    short = len(bare.strip()) <= _SIGN_CHARS
    if any(unicodedata.category(sign) == "So" for sign in signs):
        return False
    return not signs or not (
        len(signs) > 2 or about_signs or (short and "?" in request.instruction)
    )


def _are_named(signs: set[str], instruction: str) -> bool:
    """Does each sign stand alone in the task: "a board of # and ."?"""
    return signs <= {word.strip(_QUOTES) or word for word in instruction.split()} - _DASHES


def _blank(reason: str, *, code: str = "blank") -> Verdict:
    return Verdict(ok=False, score=0.0, parts={"present": 0.0}, code=code, reason=reason)


def _verdict(findings: dict[str, Finding]) -> Verdict:
    score = round(prod(finding.score for finding in findings.values()), 4)
    parts = {"present": 1.0} | {name: finding.score for name, finding in findings.items()}
    doubts = "; ".join(finding.reason for finding in findings.values() if finding.score < 1)
    if score >= THRESHOLD:
        return Verdict(ok=True, score=score, parts=parts, reason=doubts)
    weakest = min(findings.values(), key=lambda finding: finding.score)
    reason = weakest.reason if weakest.score < THRESHOLD else doubts
    return Verdict(ok=False, score=score, parts=parts, code=weakest.code, reason=reason)
