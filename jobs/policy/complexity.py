"""What a task asks of a model, and how hard it is: from its text alone, English or Russian."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from jobs.policy import category_signs
from jobs.policy.tokens import estimate_tokens
from llm.types import Category

COMPLEX_FLOOR = 0.8
"""A task that its creator calls complex is at least this."""
SIMPLE_CEILING = 0.3
"""A task that its creator calls not complex is at most this."""
_READ_CHARACTERS = 20_000
_BASE: Mapping[Category, float] = {
    Category.FAST: 0.15,
    Category.DEFAULT: 0.35,
    Category.VISION: 0.45,
    Category.CODING: 0.5,
    Category.REASONING: 0.65,
}
_FENCE_WEIGHT = 3.0
_TIE_ORDER = (
    Category.CODING,
    Category.VISION,
    Category.REASONING,
    Category.FAST,
)


@dataclass(frozen=True, slots=True)
class Assessment:
    """``complexity`` is 0..1; ``reason`` names the signs that decided."""

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
    """Judge a task. A valid ``metadata.category`` and ``metadata.complex`` are its creator's word.

    ``bug_probability`` (0..1) makes a task harder. Values of a wrong type are passed over here;
    they are reported where rows are read.
    """
    text = f"{title}\n{description}"[:_READ_CHARACTERS]
    signs = _signs(text)
    requested = _requested_category(metadata)
    category = requested or _strongest(signs, description)
    complexity, why = _complexity(category, text, metadata, has_dependencies=has_dependencies)
    origin = "its creator chose it" if requested else _named_signs(signs, category)
    return Assessment(category, complexity, f"category {category.value}: {origin}; {why}")


def _signs(text: str) -> dict[Category, float]:
    signs = {
        category: float(len({match.lower() for match in pattern.findall(text)}))
        for category, pattern in category_signs.STEMS.items()
    }
    code = 0.0
    if category_signs.CODE_FENCE.search(text):
        code += _FENCE_WEIGHT
    if category_signs.TRACEBACK.search(text):
        code += _FENCE_WEIGHT
    code += min(3, len(category_signs.CODE_LINE.findall(text)))
    code += min(2, len(category_signs.FILE_NAME.findall(text)))
    signs[Category.CODING] += code
    signs[Category.REASONING] += 1.0 if category_signs.FORMULA.search(text) else 0.0
    return signs


def _requested_category(metadata: Mapping[str, object]) -> Category | None:
    value = metadata.get("category")
    if isinstance(value, str):
        name = value.strip().lower()
        return next((category for category in Category if category.value == name), None)
    return None


def _strongest(signs: Mapping[Category, float], description: str) -> Category:
    """The category with the most signs; a long text is not fast; no sign at all is default."""
    long = estimate_tokens(description) > 600
    weights = {
        category: 0.0 if long and category is Category.FAST else signs[category]
        for category in _TIE_ORDER
    }
    best = max(_TIE_ORDER, key=lambda category: weights[category])
    return best if weights[best] > 0 else Category.DEFAULT


def _complexity(
    category: Category,
    text: str,
    metadata: Mapping[str, object],
    *,
    has_dependencies: bool,
) -> tuple[float, str]:
    tokens = estimate_tokens(text)
    steps = len(category_signs.STEP.findall(text))
    value = _BASE[category]
    value += 0.06 * max(0.0, math.log2((tokens + 1) / 40))
    value += min(0.15, 0.03 * steps)
    value += min(0.06, 0.02 * len(category_signs.QUESTION.findall(text)))
    value += 0.08 if has_dependencies else 0.0
    bug = _probability(metadata.get("bug_probability"))
    value = value if bug is None else max(value, 0.3 + 0.6 * bug)
    facts = [f"about {tokens} tokens"]
    facts += [f"steps: {steps}"] if steps else []
    facts += ["it builds on other tasks"] if has_dependencies else []
    facts += [f"bug probability {bug:g}"] if bug is not None else []
    value, override = _with_override(min(max(value, 0.0), 1.0), metadata.get("complex"))
    return round(value, 3), ", ".join([*facts, *override])


def _with_override(value: float, complex_flag: object) -> tuple[float, list[str]]:
    if complex_flag is True:
        return max(value, COMPLEX_FLOOR), ["its creator called it complex"]
    if complex_flag is False:
        return min(value, SIMPLE_CEILING), ["its creator called it simple"]
    return value, []


def _probability(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0.0 <= value <= 1.0 else None


def _named_signs(signs: Mapping[Category, float], category: Category) -> str:
    count = int(signs.get(category, 0.0))
    if not count:
        return "no word in the text points to another kind of work"
    return f"words in the text that point to it: {count}"
