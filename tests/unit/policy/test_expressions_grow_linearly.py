"""Every expression of ours that meets foreign text takes time in proportion to it."""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest

import jobs.attempt
import jobs.policy
import llm.detectors
import llm.thinking
from jobs.policy.validation.phrases import Phrases

Expression = re.Pattern[Any] | Phrases
SMALL_CHARS = 500
TIMES_LONGER = 4
LINEAR_RATIO = 9.0
"""Quadratic growth gives 16; a busy machine is allowed the rest."""
TOO_SHORT_TO_MEASURE_SECONDS = 0.001
FAR_TOO_LONG_SECONDS = 0.1

UNITS = (
    "\n", " ", "\t", "\n ", "\r\n", "a", "1", "Я", "é", "a ", "a.", "1.", "a1", "_", "-", "- ", "*",
    "`", "~~~", "```\n", "<", "<a", "<think>", "</think>", "(", "f(", "{", "$", "$a", "1 = ", ":",
    "/", "a/", "https://", "@", "a@", ".", "?", ", ", "[", '"', "'", "+", "a&", "РС", "error:",
    "ошибка ", "i am ", "i can't ", "model ", "not found ", "write a ", "напиши ", "as an ai ",
    "5 ideas ",    "sections: a, ", "1. ", " at ", "x.py ", "\xff", "12x7b",
)  # fmt: skip
PACKAGES: tuple[ModuleType, ...] = (jobs.policy, jobs.attempt, llm.detectors)


def expressions() -> dict[str, Expression]:
    found_at: dict[Expression, str] = {}
    modules = [llm.thinking]
    for package in PACKAGES:
        inner = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        modules.extend(importlib.import_module(found.name) for found in inner)
    for module in modules:
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern | Phrases):
                found_at[value] = f"{module.__name__}.{name}"
            elif isinstance(value, Mapping):
                for key, one in value.items():
                    if isinstance(one, re.Pattern | Phrases):
                        found_at[one] = f"{module.__name__}.{name}[{key}]"
    return {name: pattern for pattern, name in found_at.items()}


def seconds(pattern: Expression, text: str, *, tries: int = 1) -> float:
    subject: Any = text.encode("latin-1", "replace") if isinstance(pattern.pattern, bytes) else text
    best = float("inf")
    for _ in range(tries):
        began = time.thread_time()
        for _ in pattern.finditer(subject):
            pass
        best = min(best, time.thread_time() - began)
    return best


def growth(pattern: Expression, text: str) -> float:
    """How many times longer a text takes that is four times as long; 1.0 where both are quick."""
    if seconds(pattern, text) > FAR_TOO_LONG_SECONDS:
        return float("inf")
    longer = text[:-1] * TIMES_LONGER + text[-1]
    if seconds(pattern, longer) < TOO_SHORT_TO_MEASURE_SECONDS:
        return 1.0
    return seconds(pattern, longer, tries=3) / max(seconds(pattern, text, tries=3), 1e-6)


EXPRESSIONS = expressions()


def test_every_package_is_looked_at() -> None:
    assert len(EXPRESSIONS) > 60


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_four_times_the_text_takes_about_four_times_as_long(name: str) -> None:
    slow = {}
    for unit in UNITS:
        body = unit * (SMALL_CHARS // len(unit))
        for text in (f"{body}x", f"x{body}\x00"):
            ratio = growth(EXPRESSIONS[name], text)
            if ratio > LINEAR_RATIO:
                slow[text[:12]] = round(ratio, 1)
    assert slow == {}
