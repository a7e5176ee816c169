"""How large a task's prompt and answer may become, and which context that asks of a server.

The planner counts it before a task is sent and the worker again before it builds the prompt, so
that what is built fits into what was asked for. It is counted from bytes, which are known without
reading the texts, and rather too much than too little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.policy.metadata import TaskOptions
from jobs.policy.tokens import USUAL_CONTEXT, bucket_num_ctx

BYTES_PER_TOKEN = 3.0
"""Of code; Latin text has 4, Chinese and Cyrillic about 5."""
OVERHEAD_TOKENS = 600
"""The persona, the title, headings."""
DEFAULT_MAX_TOKENS = 1024
MAX_DOUBLINGS = 3
CUT_SHORT = frozenset({"truncated", "thinking_only"})
MATERIAL_SHARE = 0.6
"""The part of a context that files may take."""
MATERIAL_TOKENS = int(USUAL_CONTEXT * MATERIAL_SHARE)
"""Files, earlier results and the findings of steps are cut to fit; they get no larger context."""


@dataclass(frozen=True, slots=True)
class PromptSize:
    """``num_ctx`` is what to ask of a server that loads a model for a context."""

    prompt_tokens: int
    max_tokens: int
    num_ctx: int


def cuts(faults: Sequence[str]) -> int:
    """How many of the attempts with these error codes ran out of tokens."""
    return sum(code in CUT_SHORT for code in faults)


def prompt_size(
    options: TaskOptions, *, text_bytes: int, earlier_bytes: int, faults: Sequence[str]
) -> PromptSize:
    """``text_bytes`` of the description and a system message of its own, ``earlier_bytes`` of the
    results it builds on; ``faults`` are the error codes of its attempts so far.

    The answer gets twice as many tokens for each time it was cut short.
    """
    doublings = min(cuts(faults), MAX_DOUBLINGS)
    max_tokens = (options.max_tokens or DEFAULT_MAX_TOKENS) << doublings
    material_tokens = int(earlier_bytes / BYTES_PER_TOKEN)
    if options.file_paths or options.source is not None:
        # Files are not read for a plan, and a source may stand for work in steps.
        material_tokens = MATERIAL_TOKENS
    prompt_tokens = (
        OVERHEAD_TOKENS + int(text_bytes / BYTES_PER_TOKEN) + min(material_tokens, MATERIAL_TOKENS)
    )
    return PromptSize(
        prompt_tokens, max_tokens, bucket_num_ctx(prompt_tokens, max_tokens, options.num_ctx)
    )
