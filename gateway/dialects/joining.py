"""Answers of servers that ignore ``stream``: a stream joined to one object, and one object as a
stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.calls import JsonObject
from gateway.dialects.stream import event_of, object_of
from llm import errors
from llm.backends.mapping import from_error_line
from llm.wire import openai
from llm.wire.values import dump

GROWING = frozenset(
    {"content", "text", "response", "thinking", "reasoning", "reasoning_content"}
    | {"refusal", "arguments"}
)
"""Fields whose pieces are put together; of any other the last value counts."""
EXCERPT_CHARS = 300


def joined(answer: bytes) -> bytes:
    """``answer`` as one object, where it is a stream of events or of lines. Raises LLMError for a
    stream that broke off, and for what is neither."""
    if object_of(answer.strip()) is not None:
        return answer
    lines = answer.splitlines()
    pieces = [piece for line in lines if (piece := event_of(line) or object_of(line)) is not None]
    if not pieces:
        seen = answer[:EXCERPT_CHARS].decode("utf-8", "replace")
        raise errors.StreamBroken(f"the server answered neither JSON nor a stream: {seen!r}")
    whole: JsonObject = {}
    for piece in pieces:
        if piece.get("error"):
            raise from_error_line(piece["error"])
        _merge(whole, piece)
    if b"[DONE]" not in answer[-64:] and whole.get("done") is not True:
        raise errors.TruncatedStream("the server's stream ended without its end mark")
    if whole.get("object") == "chat.completion.chunk":
        whole["object"] = "chat.completion"
        for choice in whole.get("choices") or ():
            choice["message"] = choice.pop("delta", {})
    return dump(whole)


def as_events(answer: bytes) -> bytes:
    """A whole answer of OpenAI's API as the events of a stream; other bytes as they are."""
    whole = object_of(answer.strip())
    if whole is None:
        return answer
    if whole.get("error"):
        raise from_error_line(whole["error"])
    for choice in _objects(whole.get("choices")):
        if "message" in choice:
            choice["delta"] = choice.pop("message")
    return openai.event({**whole, "object": "chat.completion.chunk"}) + openai.DONE


def _merge(whole: JsonObject, piece: JsonObject) -> None:
    for key, value in piece.items():
        before = whole.get(key)
        if value is None:
            whole.setdefault(key, None)
        elif key in GROWING and isinstance(before, str) and isinstance(value, str):
            whole[key] = before + value
        elif isinstance(before, dict) and isinstance(value, dict):
            _merge(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            _merge_entries(before, _objects(value))
        else:
            whole[key] = value


def _merge_entries(whole: list[Any], pieces: Iterable[JsonObject]) -> None:
    """Choices and tool calls say by their ``index`` which they go on with."""
    known = {entry.get("index", 0): entry for entry in _objects(whole)}
    for piece in pieces:
        entry = known.get(piece.get("index", 0))
        if entry is None:
            whole.append(piece)
        else:
            _merge(entry, piece)


def _objects(value: object) -> list[JsonObject]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
