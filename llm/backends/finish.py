"""Maps the finish reasons of all servers to ours."""

from __future__ import annotations

from typing import Literal

from llm import errors

FinishReason = Literal["stop", "length"]

_STOP = frozenset(
    {"stop", "eos", "eos_token", "end_turn", "stop_sequence", "stop_token", "complete", "completed"}
    | {"tool_calls", "function_call", "end", "done", "finished", "finish"}
)
_LENGTH = frozenset(
    {"length", "max_tokens", "max_length", "model_length", "max_output_tokens"}
    | {"model_context_window_exceeded", "token_limit"}
)
_FILTERED = frozenset({"content_filter", "safety", "recitation", "prohibited_content", "blocklist"})


def finish_reason(spelling: object) -> FinishReason:
    """``spelling`` as "stop" or "length". Raises BadRequest where a content filter cut the answer,
    and ServerFailed for any other reason, such as "abort" or "error"."""
    word = spelling.strip().lower().replace("-", "_") if isinstance(spelling, str) else ""
    word = word.removeprefix("finish_reason_")
    if word in _STOP:
        return "stop"
    if word in _LENGTH:
        return "length"
    if word in _FILTERED:
        raise errors.BadRequest("the server's content filter refused the answer")
    raise errors.ServerFailed(f"the server ended with {spelling!r} in place of an answer")
