"""Whole numbers that a visitor wrote."""

from __future__ import annotations

MOST_DIGITS = 18


def small_number(text: str, *, default: int) -> int:
    """``text`` as a number from 0; ``default`` for anything else.

    Python refuses to convert thousands of digits, so the length is looked at first.
    """
    good = text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS
    return int(text) if good else default
