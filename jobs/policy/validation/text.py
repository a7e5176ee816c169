"""Views of an answer that several checks share."""

from __future__ import annotations

import re

from jobs.policy.topics import stem, words

# Every pattern here is bounded: an answer of a megabyte without a space must not take a minute.
_THOUGHT = re.compile(r"\A\s*<think(?:ing)?>", re.IGNORECASE)
_THOUGHT_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_FENCE = re.compile(
    r"^[ \t]*(?:```|~~~).*?(?:^[ \t]*(?:```|~~~)[ \t]*$|\Z)", re.DOTALL | re.MULTILINE
)
_INLINE = re.compile(r"`[^`\n]+`|https?://\S+|[\w.+-]{1,64}@[\w.-]{1,255}")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n+")
_MARK = re.compile(r"^\s*(?:[-*•–]\s+|\(?\d{1,4}[.):]\s*)+")
_ITEM = re.compile(r"^\s*(?:#{1,6}\s*)?(?:\*\*)?(?:[-*•–]\s+|\(?\d{1,3}[.)]\s*|#{1,6}\s+)")

_ROLE = re.compile(r"\A\W*[A-ZА-ЯЁ][\w./-]{0,20}(?: \w{1,12})?:\s+(?=\S)")
_QUOTE = re.compile(r"[«“\"'][^«»“”\"\n]{20,4000}[»”\"']")
_CONTENT_CHARS = 20_000
_CONTENT_LETTERS = 4
_MATERIAL_CHARS = 40
_GENERIC_WORDS = """
please this that what with from your have about into which would could should there their they them
then than help need more information provide text task answer question request write explain
describe give make list sorry able unable cannot error model language
пожалуйста этот этого этом чтобы который которые какой какие можно нужно могу есть если текст
задание ответ вопрос запрос напиши объясни опиши ошибка модель помочь
"""
_GENERIC = frozenset(stem(word) for word in _GENERIC_WORDS.split())


def without_thoughts(text: str) -> str:
    """The answer proper: a closed thinking block before it is taken off."""
    end = _THOUGHT_END.search(text) if _THOUGHT.match(text) else None
    return text if end is None else text[end.end() :]


def prose(text: str) -> str:
    """The text without fenced code, inline code, addresses."""
    return _INLINE.sub(" ", _FENCE.sub("\n", text))


def sentences(text: str) -> list[str]:
    """Sentences and lines as they stand; marks of lists are left out."""
    parts = _SENTENCE_END.split(text)
    return [_MARK.sub("", part, count=1).strip() for part in parts if part.strip()]


def items(text: str) -> list[str]:
    """Lines that are items of a list or headings, with their marks."""
    return [line.rstrip() for line in text.splitlines() if _ITEM.match(line)]


def content_stems(text: str) -> set[str]:
    """Beginnings of the words that say what a text is about; of at most ``_CONTENT_CHARS``."""
    found = {stem(word) for word in words(text[:_CONTENT_CHARS]) if len(word) >= _CONTENT_LETTERS}
    return found - _GENERIC


def without_role(task: str) -> str:
    """The task without the name before it: "QA: list ten edge cases"."""
    return _ROLE.sub("", task, count=1)


def holds_material(task: str) -> bool:
    """Does a task bring the text it is about: after a colon, in a block or as a long body?"""
    task = without_role(task)
    _, _, body = task.partition("\n") if "\n" in task.strip() else task.partition(":")
    quoted = max((len(quote) for quote in _QUOTE.findall(task[:_CONTENT_CHARS])), default=0)
    return max(quoted, len(body.strip(" \n\"'`"))) >= _MATERIAL_CHARS


def without_material(task: str) -> str:
    """The words that ask, without the quotes and blocks that they speak of."""
    return _QUOTE.sub(" ", _FENCE.sub("\n", task))


def squeezed(text: str) -> str:
    """Words alone, one space between: equal for texts that differ in case and punctuation."""
    return " ".join(words(text))
