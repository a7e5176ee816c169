"""Words that name a kind of work. Beginnings of words, so that inflections count."""

from __future__ import annotations

import re

CODING = (
    "code", "refactor", "function", "unit test", "pytest", "bug", "stack trace", "traceback",
    "implement", "sql", "regex", "api", "script", "код", "рефактор", "функци", "тест", "баг",
    "ошибк", "реализу", "скрипт", "класс", "запрос sql",
)  # fmt: skip
REASONING = (
    "prove", "why ", "analy", "root cause", "compare", "trade-off", "tradeoff", "strateg", "plan",
    "logic", "argument", "contradict", "decide", "evaluate", "архитектур", "докаж", "анализ",
    "проанализ", "причин", "сравни", "стратег", "план", "логик", "противореч", "оцени", "почему",
)  # fmt: skip
FAST = (
    "summar", "translate", "grammar", "spell", "classify", "extract", "title for", "rewrite",
    "one sentence", "keyword", "кратк", "перевед", "грамматик", "исправь", "классифиц", "извлек",
    "заголов", "перепиш", "одним предложением", "ключев",
)  # fmt: skip
VISION = ("screenshot", "image", "photo", "picture", "скриншот", "изображен", "фото", "картинк")


def hits(text: str, words: tuple[str, ...]) -> list[str]:
    """Those of ``words`` that begin a word of ``text``."""
    lowered = text.casefold()
    return [word for word in words if re.search(rf"(?<!\w){re.escape(word)}", lowered)]
