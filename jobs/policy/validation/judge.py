"""The verdict on one answer.

Every check gives a finding from 0 to 1; the score is their product, so one failed check is enough
to reject and several doubts add up. The checks look at the structure of an answer, never at single
words in it: an answer *about* errors is a good answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod

from jobs.policy.validation.completeness import complete
from jobs.policy.validation.engagement import engaged
from jobs.policy.validation.finish import finished
from jobs.policy.validation.language import language
from jobs.policy.validation.legibility import legible
from jobs.policy.validation.originality import original
from jobs.policy.validation.structure import structured
from jobs.policy.validation.substance import substantial
from jobs.policy.validation.text import without_thoughts
from jobs.policy.validation.types import THRESHOLD, Answer, Finding, Request, Verdict
from jobs.policy.validation.variety import varied
from llm.detectors.blank import is_blank

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
    "substance": substantial,
}
_STRUCTURED: dict[str, Check] = {"original": original, "schema": structured, "complete": complete}


def judge(answer: Answer, request: Request) -> Verdict:
    """Whether ``answer`` may stand as the result of ``request``, with the reason if not."""
    if _says_nothing(answer.text, request):
        return _blank("the answer is blank")
    text = without_thoughts(answer.text)
    if is_blank(text):
        return _blank("the answer holds thinking alone", code="thinking_only")
    judged = Answer(text, answer.finish_reason)
    checks = _PROSE if request.response_schema is None else _STRUCTURED
    return _verdict({name: check(judged, request) for name, check in checks.items()})


def _says_nothing(text: str, request: Request) -> bool:
    # An operator may answer a question, a picture may be drawn of signs; a row of dots is nothing.
    if any(map(str.isalnum, _TAG.sub("", text))) or request.response_schema is not None:
        return is_blank(text)
    drawn = len(set(text.splitlines())) > 3
    asked = len(text.strip()) <= 8 and "?" in request.asked
    return is_blank(text) or not (drawn or asked)


def _blank(reason: str, *, code: str = "blank") -> Verdict:
    return Verdict(ok=False, score=0.0, parts={"present": 0.0}, code=code, reason=reason)


def _verdict(findings: dict[str, Finding]) -> Verdict:
    score = round(prod(finding.score for finding in findings.values()), 4)
    parts = {"present": 1.0} | {name: finding.score for name, finding in findings.items()}
    if score >= THRESHOLD:
        return Verdict(ok=True, score=score, parts=parts)
    weakest = min(findings.values(), key=lambda finding: finding.score)
    doubts = [finding.reason for finding in findings.values() if finding.score < 1]
    reason = weakest.reason if weakest.score < THRESHOLD else "; ".join(doubts)
    return Verdict(ok=False, score=score, parts=parts, code=weakest.code, reason=reason)
