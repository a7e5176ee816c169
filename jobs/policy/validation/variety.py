"""Does the answer say something new, or the same again and again?"""

from __future__ import annotations

import re

from jobs.policy.topics import words
from jobs.policy.validation.text import prose, sentences
from jobs.policy.validation.types import Answer, Finding, Request
from llm.detectors.repetition import repetition

_MIN_SENTENCES = 4
_MIN_SENTENCE_WORDS = 3
_RUN_WORDS = 4
_MIN_RUNS = 24
_ASKED_FOR = re.compile(r"\b(?:repeat|times)\b|повтор|\bраза?\b", re.IGNORECASE)


def varied(answer: Answer, request: Request) -> Finding:
    looped = repetition(answer.text)
    if looped is not None:
        return Finding(0.0, "repetition", f"the answer loops: {looped}")
    if _ASKED_FOR.search(request.asked):
        return Finding(1.0)
    text = prose(answer.text)
    share = min(_new_sentences(text), _new_runs(text))
    if share >= 0.6:
        return Finding(1.0)
    score = 0.2 if share < 0.45 else 0.6
    return Finding(score, "repetition", f"only {share:.0%} of the answer is not said twice")


def _new_sentences(text: str) -> float:
    found = [s for s in sentences(text) if s.count(" ") + 1 >= _MIN_SENTENCE_WORDS]
    return len(set(found)) / len(found) if len(found) >= _MIN_SENTENCES else 1.0


def _new_runs(text: str) -> float:
    said = words(text)
    runs = [said[i : i + _RUN_WORDS] for i in range(len(said) - _RUN_WORDS + 1)]
    return len(set(runs)) / len(runs) if len(runs) >= _MIN_RUNS else 1.0
