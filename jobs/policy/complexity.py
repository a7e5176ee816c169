"""How hard a task is and what it asks of a model, read off its words. English and Russian."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from jobs.policy.words import CODING, FAST, REASONING, VISION, hits
from llm.types import Category

TEXT_CHARS_READ = 20_000
LONG_CHARS = 4000
SHORT_CHARS = 160
HARD = 0.7
EASY = 0.3
_BASE = {
    Category.FAST: 0.2,
    Category.DEFAULT: 0.4,
    Category.CODING: 0.55,
    Category.REASONING: 0.75,
    Category.VISION: 0.5,
}
_CODE = re.compile(r"```|^\s*(?:def |class |import |SELECT |function |#include)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Assessment:
    """``complexity`` from 0 (a word will do) to 1 (the strongest model should try)."""

    category: Category
    complexity: float
    reason: str


def assess(
    title: str,
    description: str,
    metadata: Mapping[str, object],
    *,
    has_dependencies: bool = False,
) -> Assessment:
    """The category and complexity of a task; what its creator stated wins over its words."""
    text = f"{title}\n{description}"[:TEXT_CHARS_READ]
    stated = _stated_category(metadata)
    category, why = (stated, "stated") if stated else _category_of(text)
    complexity, notes = _complexity(category, text, metadata, has_dependencies)
    return Assessment(category, complexity, "; ".join([why, *notes]))


def _stated_category(metadata: Mapping[str, object]) -> Category | None:
    given = metadata.get("category")
    if isinstance(given, str) and given.strip().lower() in set(Category):
        return Category(given.strip().lower())
    return None


def _category_of(text: str) -> tuple[Category, str]:
    """The kind of work its words name most often; code counts as a word for coding."""
    found = {
        Category.VISION: hits(text, VISION),
        Category.CODING: hits(text, CODING) + (["code"] if _CODE.search(text) else []),
        Category.REASONING: hits(text, REASONING),
        Category.FAST: hits(text, FAST),
    }
    best = max(found, key=lambda category: len(found[category]))
    if found[best]:
        return best, f"says {', '.join(found[best][:3])}"
    if len(text) <= SHORT_CHARS:
        return Category.FAST, "short, and names no kind of work"
    return Category.DEFAULT, "names no kind of work"


def _complexity(
    category: Category, text: str, metadata: Mapping[str, object], has_dependencies: bool
) -> tuple[float, list[str]]:
    value, notes = _BASE[category], []
    if len(text) > LONG_CHARS:
        value += 0.1
        notes.append("long")
    elif len(text) < SHORT_CHARS:
        value -= 0.05
    if has_dependencies:
        value += 0.1
        notes.append("builds on other tasks")
    bug = metadata.get("bug_probability")
    if isinstance(bug, int | float) and not isinstance(bug, bool) and 0 <= bug <= 1:
        value = max(value, 0.3 + 0.6 * float(bug))
        notes.append(f"bug probability {bug:g}")
    if metadata.get("complex") is True:
        value = max(value, HARD + 0.1)
        notes.append("stated complex")
    elif metadata.get("complex") is False:
        value = min(value, EASY)
        notes.append("stated simple")
    return round(min(1.0, max(0.0, value)), 3), notes
