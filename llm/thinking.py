"""Thinking that a server left inside the answer as ``<think>`` tags."""

from __future__ import annotations

import re

_OPEN = re.compile(r"\s*<(think|thinking|thought)>", re.IGNORECASE)
_ORPHAN_END = re.compile(r"^(.*?)(?:^|\n)\s*</think>[ \t]*(?:\n|\Z)", re.DOTALL)


def split_thinking(text: str) -> tuple[str, str]:
    """(thinking, answer). Only tags at the very start count; an unclosed one is all thinking.

    A template may open the tag inside the prompt: then the text has an end tag, on a line of its
    own, and no opening one.
    """
    opened = _OPEN.match(text)
    if opened:
        end = re.compile(f"</{opened.group(1)}>", re.IGNORECASE).search(text, opened.end())
        if end is None:
            return text[opened.end() :].strip(), ""
        return text[opened.end() : end.start()].strip(), text[end.end() :].lstrip()
    if "</think>" in text and "<think>" not in text:
        orphan = _ORPHAN_END.match(text)
        if orphan:
            return orphan.group(1).strip(), text[orphan.end() :].lstrip()
    return "", text
