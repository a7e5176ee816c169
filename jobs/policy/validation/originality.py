"""Is the answer more than the prompt coming back?"""

from __future__ import annotations

import re

from jobs.policy.topics import words
from jobs.policy.validation.phrases import ASKS_TRANSLATION, RESTATES, THINKS_ALOUD
from jobs.policy.validation.text import content_stems, sentences, squeezed, without_role
from jobs.policy.validation.types import Answer, Finding, Request
from llm.detectors.echo import is_echo, requests_own_text

_OPENING_CHARS = 30
_OWN_SHARE = 0.2
_RUN_WORDS = 5
_INSTRUCTION_WORDS = 2
_MIN_WORDS = 4
_RESTATED_SHARE = 0.45
_RESTATED_CHARS = 500
_SAME_STEMS = 0.8
_MIN_STEMS = 4
_LABEL = re.compile(r"^\W*\w{2,14}(?:\s\w{1,10})?\s*[:!.,]\s+")


def original(answer: Answer, request: Request) -> Finding:
    unlabelled = _LABEL.sub("", answer.text, count=1)
    for source in dict.fromkeys((request.prompt, request.instruction)):
        if is_echo(answer.text, source) or is_echo(unlabelled, source):
            return Finding(0.0, "echo", "the answer is the prompt coming back")
    if _says_only_the_task(answer.text, request):
        return Finding(0.1, "echo", "every sentence of the answer stands in the task")
    if _restates(answer.text, request):
        return Finding(0.3, "echo", "the answer says the task in other words")
    repeats = _opens_with_the_task(answer.text, request) and not _returned(answer.text, request)
    if repeats and _own_share(answer.text, request) < _OWN_SHARE:
        return Finding(0.1, "echo", "the answer repeats the task and adds next to nothing")
    return Finding(1.0)


def _says_only_the_task(text: str, request: Request) -> bool:
    """Is there no sentence of its own? A text that the task wants back may be all there is,
    but not where it is to be translated."""
    task = squeezed(request.instruction)
    said = [squeezed(part) for part in sentences(text)]
    if len(squeezed(text).split()) < _MIN_WORDS or not all(part in task for part in said):
        return False
    whole = squeezed(without_role(request.instruction))
    if any(part in (task, whole) for part in said):
        return not requests_own_text(request.instruction)
    return bool(ASKS_TRANSLATION.search(request.instruction)) and said[0] in task


def _restates(text: str, request: Request) -> bool:
    """A short answer that speaks of the request, mostly in the words of the request."""
    if len(text) > _RESTATED_CHARS:
        return False
    own, known = content_stems(text), content_stems(request.instruction)
    both = len(own & known)
    if THINKS_ALOUD.match(text) and own:
        return True
    if RESTATES.search(text) and both >= _RESTATED_SHARE * len(own):
        return True
    same = min(both / max(1, len(own)), both / max(1, len(known))) >= _SAME_STEMS
    return same and len(own) >= _MIN_STEMS and not requests_own_text(request.instruction)


def _returned(text: str, request: Request) -> bool:
    """Whether the task requests its own text back; compared without the words of the request."""
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
