"""Does the answer say something new, or the same again and again?"""

from __future__ import annotations

import re

from jobs.policy.validation.text import items, prose, sentences, squeezed
from jobs.policy.validation.types import Answer, Finding, Request
from llm.detectors.repetition import repetition

_MIN_SENTENCES = 4
_MIN_SENTENCE_WORDS = 3
_MIN_LINE_WORDS = 6
_MIN_ITEMS = 8
_MIN_WORDS = 8
_RUN_WORDS = 4
_MIN_RUNS = 24
_ASKED_FOR = re.compile(
    r"\b(?:repeat|times|songs?|poems?|lyrics|refrain)\b|повтор|\bраза?\b|песн|стих|припев",
    re.IGNORECASE,
)


def varied(answer: Answer, request: Request) -> Finding:
    looped = repetition(answer.text)
    if looped is not None:
        return Finding(0.0, "repetition", f"the answer loops: {looped}")
    if _ASKED_FOR.search(request.instruction):
        return Finding(1.0)
    once = set(squeezed(answer.text).split(" "))
    if len(once) == 1 and len(answer.text.split()) >= _MIN_WORDS and _names_no_count(request):
        return Finding(0.2, "repetition", f'the answer is "{min(once)[:40]}" again and again')
    said = [part for part in sentences(prose(answer.text)) if _is_language(part)]
    listed = _new_items(answer.text)
    share = min(_new_sentences(said), listed, *(_new_runs(squeezed(part)) for part in said))
    if share >= 0.6:
        return Finding(1.0)
    score = 0.2 if share < 0.45 else 0.6
    return Finding(score, "repetition", f"only {share:.0%} of the answer is not said twice")


def _names_no_count(request: Request) -> bool:
    return not any(map(str.isdigit, request.instruction))


def _is_language(part: str) -> bool:
    return sum(map(str.isalpha, part)) > len(part) // 2


def _new_sentences(said: list[str]) -> float:
    """The share of different ones among real sentences: lines of data repeat by nature."""
    found = [squeezed(part) for part in said if _is_sentence(part)]
    return len(set(found)) / len(found) if len(found) >= _MIN_SENTENCES else 1.0


def _new_items(text: str) -> float:
    """The share of different items in a list of several words each."""
    found = [part for part in map(squeezed, sentences("\n".join(items(text)))) if " " in part]
    return len(set(found)) / len(found) if len(found) >= _MIN_ITEMS else 1.0


def _is_sentence(part: str) -> bool:
    count = len(part.split())
    ended = part[-1] in ".!?…"
    return count >= (_MIN_SENTENCE_WORDS if ended else _MIN_LINE_WORDS)


def _new_runs(sentence: str) -> float:
    """The share of distinct runs of words in one sentence; it is low where a sentence repeats
    itself without an end."""
    parts = sentence.split(" ")
    runs = [tuple(parts[i : i + _RUN_WORDS]) for i in range(len(parts) - _RUN_WORDS + 1)]
    return len(set(runs)) / len(runs) if len(runs) >= _MIN_RUNS else 1.0
