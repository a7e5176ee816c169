"""How many tokens a text will be, cheaply, and how large a context to ask for."""

from __future__ import annotations

import math
import re

LATIN_CHARACTERS_PER_TOKEN = 4.0
CYRILLIC_CHARACTERS_PER_TOKEN = 2.5
CODE_CHARACTERS_PER_TOKEN = 3.0
OTHER_CHARACTERS_PER_TOKEN = 1.5
"""Scripts without spaces (Chinese, Japanese, Korean) and symbols."""

USUAL_CONTEXT = 8192
"""Holds nearly every task, with files and earlier results too."""
SMALLEST_CONTEXT = 4096
LARGEST_CONTEXT = 262_144
TEMPLATE_TOKENS = 64
"""Roles and marks that a chat template adds."""

_FENCED = re.compile(r"(?:```|~~~).*?(?:```|~~~|\Z)", re.DOTALL)
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_WIDE = re.compile(r"[\u0900-\u1fff\u2e80-\ud7ff\uf900-\ufaff\U0001f000-\U0003ffff]")


def estimate_tokens(text: str) -> int:
    """Tokens of a text, by its scripts and its fenced code; 0 for none. Within about a fifth."""
    if not text:
        return 0
    fenced = sum(len(match.group()) for match in _FENCED.finditer(text))
    plain = _FENCED.sub("", text) if fenced else text
    cyrillic = len(_CYRILLIC.findall(plain))
    wide = len(_WIDE.findall(plain))
    latin = len(plain) - cyrillic - wide
    return math.ceil(
        fenced / CODE_CHARACTERS_PER_TOKEN
        + cyrillic / CYRILLIC_CHARACTERS_PER_TOKEN
        + wide / OTHER_CHARACTERS_PER_TOKEN
        + latin / LATIN_CHARACTERS_PER_TOKEN
    )


def bucket_num_ctx(prompt_tokens: int, max_tokens: int, requested: int | None) -> int:
    """The context window to request from a server: 8192, 16384, ..., or 4096 if the task requested
    no more.

    A server reloads the model for every new value, so there are few values, and most tasks share
    one. The server's default is not used: it would be one more value, between 4096 and 262,144 by
    the memory of its machine. ``requested`` (0 or None: nothing) is rounded up, and raised to what
    the prompt needs.
    """
    requested = max(requested or 0, 0)
    wanted = max(prompt_tokens + max_tokens + TEMPLATE_TOKENS, requested)
    bucket = SMALLEST_CONTEXT if requested else USUAL_CONTEXT
    while bucket < wanted and bucket < LARGEST_CONTEXT:
        bucket *= 2
    return bucket
