"""Token counts without a tokenizer: good to a few tens of per cent, and cheap."""

from __future__ import annotations

LATIN_CHARS_PER_TOKEN = 3.6
OTHER_CHARS_PER_TOKEN = 2.3
SERVER_DEFAULT_TOKENS = 4096
BUCKETS = (8192, 16384, 32768, 65536, 131072)
HEADROOM = 1.2


def estimate_tokens(text: str) -> int:
    """Tokens of ``text``: Latin letters and code are denser than Cyrillic or CJK."""
    latin = len(text.encode("ascii", "ignore"))
    other = len(text) - latin
    return int(latin / LATIN_CHARS_PER_TOKEN + other / OTHER_CHARS_PER_TOKEN + 0.999)


def bucket_num_ctx(prompt_tokens: int, max_tokens: int, asked: int | None) -> int:
    """The context size to ask a server for; 0 leaves the server its own.

    Few values on purpose: a change of ``num_ctx`` reloads the model. What the creator asked for
    is rounded up to a bucket, never down.
    """
    needed = int((prompt_tokens + max_tokens) * HEADROOM)
    if asked is not None:
        needed = max(needed, asked)
    elif needed <= SERVER_DEFAULT_TOKENS:
        return 0
    return next((bucket for bucket in BUCKETS if needed <= bucket), BUCKETS[-1])
