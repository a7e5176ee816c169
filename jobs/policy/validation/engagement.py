"""Is it an answer at all, or an error message of some server, or a refusal?

Both are told by what the *whole* answer is: short, and opening with the message. The same words
inside a longer text, or in reply to a task that is about them, are left alone.
"""

from __future__ import annotations

import re

from jobs.policy.validation.phrases import (
    ABOUT_ERRORS,
    ERROR_OPENING,
    INABILITY,
    LACK,
    REFUSAL,
    SERVER_MESSAGE,
    SPEAKS_FOR_OTHERS,
)
from jobs.policy.validation.types import Answer, Finding, Request

_MESSAGE_CHARS = 300
_REFUSAL_CHARS = 700
_OPENING_CHARS = 160


def engaged(answer: Answer, request: Request) -> Finding:
    text = answer.text.lstrip("⚠️❌🚫❗ \t\n*_#>-")
    found = _server_message(text, request)
    return found if found is not None else _refusal(text, request)


def _server_message(text: str, request: Request) -> Finding | None:
    page = text[:20].lower().startswith(("<html", "<!doctype"))
    if len(text) > _MESSAGE_CHARS and not page:
        return None
    opens = ERROR_OPENING.match(text)
    message = SERVER_MESSAGE.search(text[:1000])
    reason = f'the answer is an error message: "{text[:60]}"'
    asked_about = _asked_about(message, request)
    if message and not asked_about and (opens or len(text) <= _OPENING_CHARS):
        return Finding(0.1, "refusal", reason)
    if opens and not page and not ABOUT_ERRORS.search(request.asked):
        return Finding(0.2, "refusal", reason)
    return None


def _asked_about(message: re.Match[str] | None, request: Request) -> bool:
    if message is None:
        return False
    said = message.group(0).casefold()
    asked = request.asked.casefold()
    return said in asked or (bool(SERVER_MESSAGE.search(asked)) or bool(ABOUT_ERRORS.search(asked)))


def _refusal(text: str, request: Request) -> Finding:
    if not _turns_down(text):
        return Finding(1.0)
    reason = f'the answer refuses or asks back: "{text[:60]}"'
    if SPEAKS_FOR_OTHERS.search(request.asked) or REFUSAL.search(request.asked):
        return Finding(0.7, "refusal", reason)
    return Finding(0.2 if len(text) <= _REFUSAL_CHARS else 0.7, "refusal", reason)


def _turns_down(text: str) -> bool:
    if REFUSAL.search(text[:_OPENING_CHARS]):
        return True
    short = len(text) <= _MESSAGE_CHARS
    return short and bool(INABILITY.search(text[:_OPENING_CHARS])) and bool(LACK.search(text))
