"""Signs of what a task asks for, in English and Russian: beginnings of words, marks of code."""

from __future__ import annotations

import re
from collections.abc import Mapping

from llm.types import Category

CODE_FENCE = re.compile(r"```|~~~")
CODE_LINE = re.compile(
    r"^[ \t]*(?:def |class |import |from \w+ import|func |fn |public |private |const |let |var "
    r"|SELECT |INSERT |UPDATE |CREATE |#include|\$ |git |if \(|for \(|return\b)",
    re.MULTILINE,
)
FILE_NAME = re.compile(
    r"(?<![\w/-])[\w/-]{1,200}\.(?:py|js|ts|tsx|go|rs|"
    r"java|kt|swift|c|h|cpp|sql|sh|ya?ml|toml|html|css)\b"
)
TRACEBACK = re.compile(
    r"Traceback \(most recent call last\)|^[ \t]+at [\w.$]{1,200}\(", re.MULTILINE
)
FORMULA = re.compile(r"\$[^$\n]+\$|[∑∫∀∃≤≥√]|\b\d+\s*[=<>]\s*\d+")
STEP = re.compile(r"^[ \t]*(?:\d{1,9}[.)]|[-*•])\s", re.MULTILINE)
QUESTION = re.compile(r"\?")


def _stems(*words: str) -> re.Pattern[str]:
    return re.compile(r"\b(?:" + "|".join(words) + r")", re.IGNORECASE)


STEMS: Mapping[Category, re.Pattern[str]] = {
    Category.VISION: _stems(
        "image",
        "picture",
        "photo",
        "screenshot",
        "diagram on",
        "ocr",
        "изображени",
        "картинк",
        "фото",
        "скриншот",
        "распознай текст на",
        "снимк",
    ),
    Category.CODING: _stems(
        "code",
        "coding",
        "function",
        "method",
        "class ",
        "refactor",
        "debug",
        "bug",
        "unit test",
        "pytest",
        "regex",
        "script",
        "api endpoint",
        "sql",
        "query the database",
        "compile",
        "stack trace",
        "traceback",
        "exception",
        "implement",
        "docker",
        "kubernetes",
        "typescript",
        "javascript",
        "python",
        "rust",
        "golang",
        "html",
        "css",
        "код",
        "функци",
        "метод",
        "класс",
        "рефактор",
        "отлад",
        "отладь",
        "баг",
        "тест",
        "скрипт",
        "регулярн",
        "запрос к баз",
        "компил",
        "исключени",
        "реализ",
        "программ",
        "эндпоинт",
        "исправь ошибку",
        "миграци",
    ),
    Category.REASONING: _stems(
        "prove",
        "proof",
        "why ",
        "reason",
        "step by step",
        "analy[sz]",
        "compare",
        "trade-?off",
        "strateg",
        "architecture",
        "design a",
        "root cause",
        "plan ",
        "evaluat",
        "hypothes",
        "deduc",
        "derive",
        "optimi[sz]",
        "estimate",
        "forecast",
        "pros and cons",
        "докаж",
        "доказат",
        "почему",
        "обоснуй",
        "обоснова",
        "рассужд",
        "пошагов",
        "по шагам",
        "проанализ",
        "анализ",
        "сравни",
        "стратег",
        "архитектур",
        "спроектир",
        "причин",
        "план ",
        "спланир",
        "оцени",
        "гипотез",
        "вывед",
        "оптимиз",
        "прогноз",
        "плюсы и минусы",
        "компромисс",
    ),
    Category.FAST: _stems(
        "translate",
        "summar",
        "tl;?dr",
        "classif",
        "tag ",
        "label",
        "yes or no",
        "spell",
        "rename",
        "title for",
        "extract the",
        "one word",
        "one sentence",
        "briefly",
        "short answer",
        "ping",
        "hello",
        "thanks",
        "перевед",
        "перевод",
        "кратко",
        "резюм",
        "классифиц",
        "метк",
        "да или нет",
        "одним словом",
        "одним предложени",
        "заголов",
        "извлек",
        "коротк",
        "привет",
        "спасибо",
        "исправь опечат",
    ),
}
