"""Is the answer more than the prompt coming back?"""

from __future__ import annotations

import re

from jobs.policy.topics import words
from jobs.policy.validation.text import squeezed
from jobs.policy.validation.types import Answer, Finding, Request
from llm.detectors.echo import is_echo, requests_own_text

_OPENING_CHARS = 30
_OWN_SHARE = 0.2
_RUN_WORDS = 5
_INSTRUCTION_WORDS = 2
_LABEL = re.compile(r"^\W*\w{2,14}(?:\s\w{1,10})?\s*[:!.,]\s+")


def original(answer: Answer, request: Request) -> Finding:
    unlabelled = _LABEL.sub("", answer.text, count=1)
    for source in dict.fromkeys((request.prompt, request.instruction)):
        if is_echo(answer.text, source) or is_echo(unlabelled, source):
            return Finding(0.0, "echo", "the answer is the prompt coming back")
    repeats = _opens_with_the_task(answer.text, request) and not _returned(answer.text, request)
    if repeats and _own_share(answer.text, request) < _OWN_SHARE:
        return Finding(0.1, "echo", "the answer repeats the task and adds next to nothing")
    return Finding(1.0)


def _returned(text: str, request: Request) -> bool:
    """Is it the task's own text that was asked back, without the words that ask for it?"""
    if not requests_own_text(request.instruction):
        return False
    return len(set(words(request.instruction)) - set(words(text))) >= _INSTRUCTION_WORDS


def _opens_with_the_task(text: str, request: Request) -> bool:
    opening = squeezed(text[:400])[:_OPENING_CHARS]
    if len(opening) < _OPENING_CHARS:
        return False
    return any(squeezed(s[:400]).startswith(opening) for s in (request.prompt, request.instruction))


def _own_share(text: str, request: Request) -> float:
    """The share of the answer's runs of words that the prompt does not hold."""
    runs = _runs(text)
    known = set(_runs(request.prompt)) | set(_runs(request.task))
    return sum(run not in known for run in runs) / len(runs) if runs else 0.0


def _runs(text: str) -> list[tuple[str, ...]]:
    parts = squeezed(text).split(" ")
    return [tuple(parts[i : i + _RUN_WORDS]) for i in range(len(parts) - _RUN_WORDS + 1)]
