"""Simulated answers, made from the prompt's words and the same for the same prompt.

They read as varied prose in the prompt's language (English or Russian), so that the detectors for
echo, repetition, blankness and language accept them. They begin with a marker.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

_TOKEN = re.compile(r"\s*(?:\w{1,6}|[^\w\s])|\s+")
_WORD = re.compile(r"[^\W\d_][\w-]{3,23}")
_CYRILLIC = re.compile(r"[а-яёА-ЯЁ]")
_LATIN = re.compile(r"[a-zA-Z]")
_LANGUAGE_REQUESTS: dict[Literal["en", "ru"], re.Pattern[str]] = {
    "en": re.compile(r"\bin english\b|\bна английском|по-английски", re.IGNORECASE),
    "ru": re.compile(r"\bin russian\b|\bна русском|по-русски", re.IGNORECASE),
}
_READ_CHARACTERS = 4000
_FIRST_LINES_CHARACTERS = 600
_SHORT_ANSWER_TOKENS = 12
_FEWEST_KEYWORDS = 4


def tokens(text: str) -> list[str]:
    """``text`` cut into tokens; joined they are `text` again."""
    return _TOKEN.findall(text)


def estimate_tokens(text: str) -> int:
    """The estimated tokens of a prompt: about four bytes of UTF-8 each."""
    return (len(text.encode("utf-8", "replace")) + 3) // 4


def answer(prompt: str, *, model: str, min_tokens: int, max_tokens: int) -> list[str]:
    """The tokens of an answer to `prompt`, between the bounds where whole sentences allow it."""
    if max_tokens <= _SHORT_ANSWER_TOKENS:
        return [f"[simulated {model}]", f" {_short(prompt)}"][: max(max_tokens, 1)]
    dice = random_for(prompt)
    wanted = dice.randint(min_tokens, max(min_tokens, max_tokens))
    pieces = [f"[simulated {model}]"]
    for sentence in _prose(prompt, dice):
        cut = tokens(" " + sentence)
        if len(pieces) + len(cut) > wanted and len(pieces) > 1:
            break
        pieces += cut
    return pieces


def thoughts(prompt: str) -> list[str]:
    """The tokens of a thinking model's thinking."""
    first, second = itertools.islice(keywords(prompt), 2)
    return tokens(str(_phrases_for(prompt)["thoughts"]).format(a=first, b=second))


def runaway(prompt: str) -> Iterator[str]:
    """Endless fluent text."""
    dice = random_for(prompt)
    while True:
        for sentence in _prose(prompt, dice):
            yield from tokens(sentence + " ")


def keywords(text: str) -> Iterator[str]:
    """The distinctive words of `text`, without duplicates; defaults where there are fewer than
    four."""
    common = _phrases()["common"]
    found = dict.fromkeys(
        word for word in _WORD.findall(text[:_READ_CHARACTERS]) if word.lower() not in common
    )
    yield from itertools.islice(found, 24)
    if len(found) < _FEWEST_KEYWORDS:
        yield from _phrases_for(text)["fallback"]


def random_for(text: str) -> random.Random:
    """A random source that depends on `text` alone."""
    return random.Random(zlib.crc32(text.encode("utf-8", "replace")))


def _short(prompt: str) -> str:
    phrases = _phrases_for(prompt)
    return str(phrases["short"]).format(a=next(keywords(prompt)))


def _prose(prompt: str, dice: random.Random) -> Iterator[str]:
    phrases = _phrases_for(prompt)
    words = list(keywords(prompt))
    middle = dice.sample(phrases["sentences"], k=len(phrases["sentences"]))
    chosen = [dice.choice(phrases["openers"]), *middle, dice.choice(phrases["closers"])]
    turn = dice.randrange(len(words))
    for number, sentence in enumerate(chosen):
        first = words[(turn + number) % len(words)]
        second = words[(turn + number + len(words) // 2) % len(words)]
        yield sentence.format(a=first, b=second)


def _phrases_for(prompt: str) -> dict[str, Any]:
    phrases: dict[str, Any] = _phrases()[_language(prompt[:_READ_CHARACTERS])]
    return phrases


@lru_cache(maxsize=64)
def _language(beginning: str) -> Literal["en", "ru"]:
    """The language that the task requests, or else the language of its first section."""
    requested = [name for name, pattern in _LANGUAGE_REQUESTS.items() if pattern.search(beginning)]
    if len(requested) == 1:
        return requested[0]
    first = beginning.split("\n## ", 1)[0][:_FIRST_LINES_CHARACTERS]
    return "ru" if len(_CYRILLIC.findall(first)) > len(_LATIN.findall(first)) // 2 else "en"


@lru_cache(maxsize=1)
def _phrases() -> dict[str, Any]:
    path = Path(__file__).parent / "words.json"
    phrases: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    phrases["common"] = frozenset(phrases["common"].split())
    return phrases
