"""Is it an answer at all, or an error message of some server, a refusal, a question back?

The words of an answer are hints, and a hint alone never rejects. It takes evidence beside it:
nothing but the message stands in the answer, nothing of it is about the task, or it says that
material is missing which the task holds.
"""

from __future__ import annotations

import re

from jobs.policy.validation.phrases import (
    ABOUT_ERRORS,
    ABOUT_ITSELF,
    ANSWERS_SOMEBODY,
    ASKS_BACK,
    ASKS_FOR_TEXT,
    ASKS_QUESTIONS,
    ERROR_OPENING,
    INABILITY,
    LACK,
    MACHINE_MESSAGE,
    MISSING_MATERIAL,
    OUT_OF_REACH,
    POLITE_MESSAGE,
    REFUSAL,
    SPEAKS_FOR_OTHERS,
    WRITES_TO,
)
from jobs.policy.validation.text import (
    content_stems,
    holds_material,
    items,
    without_material,
    without_role,
)
from jobs.policy.validation.types import Answer, Finding, Request

_MESSAGE_CHARS = 300
_REFUSAL_CHARS = 700
_OPENING_CHARS = 160
_HINT = 0.7
_REJECTED = 0.3
_ERROR_OBJECT = re.compile(r"\{\s*\"(?:error|errors|detail)\"\s*:")
_MAX_SHARED = 1
_ABOUT_IT = 4
_EXPECT_IT = (SPEAKS_FOR_OTHERS, ASKS_QUESTIONS, REFUSAL, OUT_OF_REACH)


def engaged(answer: Answer, request: Request) -> Finding:
    text = answer.text.lstrip("⚠️❌🚫❗ \t\n*_#>-")
    return min(_message(text, request), _refusal(text, request), key=lambda found: found.score)


def _message(text: str, request: Request) -> Finding:
    page = text[:20].lower().startswith(("<html", "<!doctype"))
    if len(text) > _MESSAGE_CHARS and not page:
        return Finding(1.0)
    opens = ERROR_OPENING.match(text)
    machine = MACHINE_MESSAGE.search(text[:1000]) or _ERROR_OBJECT.match(text)
    polite = POLITE_MESSAGE.search(text[:_MESSAGE_CHARS])
    if not (opens or machine or polite):
        return Finding(1.0)
    reason = f'the answer reads like an error message: "{text[:60]}"'
    instruction = request.instruction
    about_errors = bool(ABOUT_ERRORS.search(instruction) or MACHINE_MESSAGE.search(instruction))
    if machine and (opens or len(text) <= _OPENING_CHARS):
        return Finding(_HINT if about_errors else _REJECTED, "refusal", reason)
    expected = about_errors or bool(SPEAKS_FOR_OTHERS.search(instruction))
    strays = not content_stems(text) & content_stems(instruction)
    return Finding(_REJECTED if strays and not expected else _HINT, "refusal", reason)


def _refusal(text: str, request: Request) -> Finding:
    instruction = without_role(request.instruction)
    asks_back = len(text) <= _REFUSAL_CHARS and ASKS_BACK.search(text)
    material_is_there = holds_material(instruction)
    asks_for_it = ASKS_FOR_TEXT.search(text) and not WRITES_TO.search(instruction)
    if not (_turns_down(text) or (asks_back and material_is_there) or _strays(text, instruction)):
        return Finding(1.0)
    reason = f'the answer refuses or asks back: "{text[:60]}"'
    whole = len(text) <= _REFUSAL_CHARS
    expected = any(words.search(without_material(instruction)) for words in _EXPECT_IT)
    if (
        whole
        and material_is_there
        and MISSING_MATERIAL.search(text)
        and (
            asks_for_it
            or not asks_back
            or not SPEAKS_FOR_OTHERS.search(without_material(instruction))
        )
    ):
        return Finding(_REJECTED, "refusal", f"the task holds what it says is missing: {reason}")
    if _strays(text, instruction) and len(set(ABOUT_ITSELF.findall(text))) > 1:
        answers_somebody = ANSWERS_SOMEBODY.search(instruction)
        return Finding(_HINT if answers_somebody else _REJECTED, "refusal", reason)
    if len(items(text)) > 2:  # a list is work, whatever its words
        return Finding(_HINT, "refusal", reason)
    shared = content_stems(text) & content_stems(instruction)
    known = ANSWERS_SOMEBODY.search(instruction) or OUT_OF_REACH.search(instruction)
    if not shared and not known and len(text) <= _OPENING_CHARS:
        return Finding(_REJECTED, "refusal", reason)
    if len(shared) >= _ABOUT_IT:  # a refusal with its reasons
        return Finding(_HINT, "refusal", reason)
    if expected or not whole or _adds_about(text, request):
        return Finding(_HINT, "refusal", reason)
    return Finding(_REJECTED, "refusal", reason)


def _strays(text: str, instruction: str) -> bool:
    """A short answer about the conversation, with nothing of what the task is about."""
    if len(text) > _MESSAGE_CHARS or not ABOUT_ITSELF.search(text):
        return False
    return len(content_stems(text) & content_stems(instruction)) <= _MAX_SHARED


def _turns_down(text: str) -> bool:
    if REFUSAL.search(text[:_OPENING_CHARS]):
        return True
    short = len(text) <= _MESSAGE_CHARS
    return short and bool(INABILITY.search(text[:_OPENING_CHARS])) and bool(LACK.search(text))


def _adds_about(text: str, request: Request) -> bool:
    """Does the answer go on, beyond the sentence that turns down, to what the task is about?"""
    rest = " ".join(part for part in re.split(r"(?<=[.!?…])\s+", text) if not _turns_down(part))
    return len(content_stems(rest) & content_stems(request.instruction)) >= 2
