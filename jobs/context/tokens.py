"""A rough token count, until the planner's own is here."""

from __future__ import annotations


def estimate_tokens(text: str) -> int:
    ascii_chars = sum(char.isascii() for char in text)
    return (ascii_chars + 3) // 4 + (len(text) - ascii_chars + 1) // 2
