"""Are the requested parts there? Parts are named by the creator or read off the task's words."""

from __future__ import annotations

import re

from jobs.policy.topics import words
from jobs.policy.validation.phrases import COUNT_ASKED
from jobs.policy.validation.text import items, without_role
from jobs.policy.validation.types import Answer, Finding, Request

_LISTED = re.compile(
    r"(?:sections|headings|chapters|parts|columns|разделы|разделами|главы|части|заголовки|пункты)"
    r"\s*(?::|—|–)\s*([^\n.]{5,300})",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_TABLE_HEAD = re.compile(
    r"^[ \t]{0,9}\|[^\n]{0,2000}\|[ \t]{0,9}\n[ \t]{0,9}\|[ \t:|]{0,9}-{3,}[ \t:|"
    r"-]{0,2000}\|[ \t]{0,9}$",
    re.MULTILINE,
)
_TASK_CHARS = 20_000
_BETWEEN_WORDS = 4
_PREPOSITIONS = frozenset(
    words("for that with about from of which has have into для из которые про")
)
_SEPARATOR = re.compile(r"\s{0,9}[,;]\s{0,9}(?:and\s|и\s)?|\s(?:and|и)\s", re.IGNORECASE)
_NUMBERS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "ten": 10,
    "два": 2, "две": 2, "три": 3, "четыре": 4, "пять": 5, "шесть": 6, "семь": 7, "восемь": 8,
    "десять": 10,
}  # fmt: skip
_COUNTED = re.compile(
    r"(?<![\w.,-])(\d{1,2}|" + "|".join(_NUMBERS) + r")\s+(?:[\w-]+\s+){0,2}?"
    r"(?:ideas|reasons|steps|examples|points|bullets|questions|tips|options|risks|titles|"
    r"names|ways|"
    r"ide[яий]|иде[яийи]|причин\w*|шаг\w*|пример\w*|вопрос\w*|совет\w*|вариант\w*|риск\w*|"
    r"пункт\w*|способ\w*|назван\w*|тезис\w*|тем\w*|правил\w*|фраз\w*|слоган\w*|"
    r"cases|topics|rules|phrases|slogans|items|facts|benefits|features|mistakes|recommendations)\b",
    re.IGNORECASE,
)


def complete(answer: Answer, request: Request) -> Finding:
    missing = _missing(answer.text, request.required_parts)
    if missing:
        return Finding(0.3, "missing_parts", f"required parts are missing: {', '.join(missing)}")
    if request.response_schema is not None:
        return Finding(1.0)
    instruction = without_role(request.instruction)
    return min(
        _listed(answer.text, instruction),
        _counted(answer.text, instruction),
        _tabled(answer.text),
        key=_score,
    )


def _tabled(text: str) -> Finding:
    """A table has a row beside its head."""
    heads = list(_TABLE_HEAD.finditer(text))
    if not heads or any(text[head.end() :].lstrip().startswith("|") for head in heads):
        return Finding(1.0)
    return Finding(0.3, "missing_parts", "the table has no rows")


def _listed(text: str, task: str) -> Finding:
    found = _LISTED.search(task)
    parts = tuple(p for p in _SEPARATOR.split(found.group(1)) if p.strip()) if found else ()
    if len(parts) < 2:
        return Finding(1.0)
    missing = _missing(text, parts)
    if not missing:
        return Finding(1.0)
    score = (1 - len(missing) / len(parts)) ** 2
    if len(missing) < len(parts) / 2:
        score = max(0.6, score)  # An author may name a part in another way.
    return Finding(score, "missing_parts", f"asked for and missing: {', '.join(missing)}")


def _counted(text: str, task: str) -> Finding:
    wanted = [_number(found) for found in _counts(task)]
    count = len(items(text))
    if not wanted or count < 2:
        return Finding(1.0)
    least = min(wanted)
    if count >= least:
        return Finding(1.0)
    return Finding((count / least) ** 2, "missing_parts", f"{least} were asked for, {count} given")


def _counts(task: str) -> list[str]:
    """The numbers of items that sentences of the task ask for; others only mention some."""
    return [
        found.group(1)
        for sentence in _SENTENCE_END.split(task[:_TASK_CHARS])
        for found in _COUNTED.finditer(sentence)
        if _is_requested(sentence[: found.start()])
    ]


def _is_requested(before: str) -> bool:
    """Does the number follow the verb that asks, with no other thing between them?"""
    if not words(before):
        return True
    verbs = list(COUNT_ASKED.finditer(before))
    if not verbs:
        return False
    between = words(before[verbs[-1].end() :])
    return len(between) <= _BETWEEN_WORDS and not _PREPOSITIONS.intersection(between)


def _missing(text: str, parts: tuple[str, ...]) -> list[str]:
    if not parts:
        return []
    said = set(words(text))
    return [part for part in parts if not all(_said(word, said) for word in words(part))]


def _said(word: str, said: set[str]) -> bool:
    """Is the word there in any inflection? Its last one or two letters may differ."""
    kept = word[: len(word) - 1 if len(word) <= 4 else max(4, len(word) - 2)]
    return word in said or (len(kept) > 2 and any(other.startswith(kept) for other in said))


def _number(text: str) -> int:
    return int(text) if text.isdigit() else _NUMBERS[text.lower()]


def _score(finding: Finding) -> float:
    return finding.score
