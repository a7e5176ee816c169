"""Text of strangers on a terminal: titles and answers must not move the cursor or colour it."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_BREAKS = re.compile(r"\s*[\r\n\u2028\u2029]+\s*")
_SPACES = re.compile(r"[\t\x0b\x0c ]+")


def safe(text: str) -> str:
    """``text`` without control characters and direction marks; line breaks and tabs stay."""
    return _CONTROL.sub("�", text.replace("\r\n", "\n"))


def one_line(text: str, *, max_chars: int | None = None) -> str:
    """``text`` on a single line, shortened with an ellipsis."""
    line = _SPACES.sub(" ", safe(_BREAKS.sub(" ", text.strip())))
    if max_chars is not None and len(line) > max_chars:
        return line[: max_chars - 1].rstrip() + "…"
    return line
