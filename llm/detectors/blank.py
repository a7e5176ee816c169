"""Detects answers without visible text."""

from __future__ import annotations

from llm.detectors.repetition import INVISIBLE


def is_blank(text: str) -> bool:
    """True if there is only white space and invisible characters."""
    return not text.strip() or not text.strip(INVISIBLE + " \t\r\n\u00a0").strip()
