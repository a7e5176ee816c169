"""Detects answers that repeat the prompt."""

from __future__ import annotations

import re

SHORT_ANSWER_CHARS = 200
SHORT_WORD_CHARS = 16
EARLY_STOP_CHARS = 2000
LONGEST_PHRASE_CHARS = 200

_PHRASES = frozenset(
    {
        "yes please",
        "not yet",
        "no problem",
        "all done",
        "all good",
        "да, готово",
        "не знаю",
        "всё готово",
        "все готово",
        "не готово",
    }
)
_RETURNS_THE_TEXT = re.compile(
    r"\b(?:correct|proofread|fix|edit|repeat|copy|copied|copies|echo|extract|quote|unchanged|verbatim|"
    r"normali[sz]e|format|clean|capitali[sz]e|polish|improve|spell|spelling|grammar|typos?|sort|"
    r"return (?:only|just)|if (?:nothing|there is nothing|it is (?:already )?correct)|complete|"
    r"continue|rewrite|simplify|translate|transliterate|remove|strip|dedupl\w*|mask|redact)|"
    r"исправ|корректур|вычит|повтор|скопир|извлек|процитир|без изменени|отформат|провер|орфограф|"
    r"пунктуац|верни|выведи только|улучш|продолж|перепиш|переведи|опечат|допиш|удали|убери",
    re.IGNORECASE,
)
_WORD_CHAR = re.compile(r"\w")


def is_echo(answer: str, prompt: str) -> bool:
    """True if answer and prompt are equal after strip, or if the answer is shorter than 200
    characters and one starts with the other.

    A single word ("Yes", "Done", "Да", "Готово", "Paris", "42") is a valid answer even when the
    prompt begins with it; so is an answer that continues a one-word prompt. A prompt that ends by
    requesting its own text ("return only the corrected text") may get that text back.
    """
    answer, prompt = answer.strip(), prompt.strip()
    if not answer or not prompt:
        return False
    if answer == prompt:
        return True
    if len(answer) >= SHORT_ANSWER_CHARS:
        return False
    if prompt.startswith(answer):
        rest = prompt[len(answer) :]
        return not (_is_short_phrase(answer, followed_by=rest[0]) or requests_own_text(rest))
    if answer.startswith(prompt):
        return not _is_short_phrase(prompt, followed_by=answer[len(prompt)])
    return False


def requests_own_text(instruction: str) -> bool:
    """Does the instruction request the text back, unchanged or with small changes?"""
    return bool(_RETURNS_THE_TEXT.search(instruction[:EARLY_STOP_CHARS]))


class EchoWatch:
    """Detects during the stream that the answer repeats a long prompt word for word.

    Only prompts above 2,000 characters are detected early; other cases are left to `is_echo`, when
    the answer is whole. Cost: one comparison per character, none after the first difference.
    """

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt.strip()
        self._seen = 0
        self._following = len(self._prompt) > EARLY_STOP_CHARS

    def feed(self, text: str) -> bool:
        """Add a piece of the answer; True once the echo is certain."""
        if not self._following:
            return False
        if self._seen == 0:
            text = text.lstrip()
        if not self._prompt.startswith(text, self._seen):
            self._following = False
            return False
        self._seen += len(text)
        return self._seen >= EARLY_STOP_CHARS


def _is_short_phrase(text: str, *, followed_by: str) -> bool:
    if followed_by.isalnum():
        return False
    if len(text) > LONGEST_PHRASE_CHARS:
        return False
    inner = [found.start() for found in _WORD_CHAR.finditer(text)]
    words = text[inner[0] : inner[-1] + 1] if inner else ""
    if words.casefold() in _PHRASES:
        return True
    return len(words) <= SHORT_WORD_CHARS and not any(char.isspace() for char in words)
