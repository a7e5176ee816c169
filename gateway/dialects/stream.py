"""Reading a server's stream piece by piece, and knowing whether it came to its end."""

from __future__ import annotations

import json
from collections.abc import Iterator

from gateway.calls import JsonObject
from gateway.dialects.values import Tokens

MAX_LINE_BYTES = 8 * 1024 * 1024
"""A longer line of a stream is no answer of a model."""
TAIL_BYTES = 16 * 1024


class BrokenStream(Exception):
    """The stream is not what its API says; the message says how."""


class Lines:
    """Splits bytes into whole lines, without their ends."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        self._rest += chunk
        *lines, rest = self._rest.split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            raise BrokenStream(f"a line is longer than {MAX_LINE_BYTES} bytes")
        self._rest = bytearray(rest)
        return (bytes(line).rstrip(b"\r") for line in lines)


class EventStreamAsIs:
    """Server-sent events sent on unchanged. Costs one search of the last bytes a chunk."""

    def __init__(self) -> None:
        self._tail = bytearray()
        self._events = 0

    def feed(self, chunk: bytes) -> bytes:
        self._events += chunk.count(b"data:")
        self._tail += chunk
        if len(self._tail) > 4 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]
        return chunk

    @property
    def finished(self) -> bool:
        return b"[DONE]" in self._tail[-64:]

    @property
    def tokens(self) -> Tokens:
        """The server's own count if requested, else one token per event."""
        for line in reversed(bytes(self._tail).split(b"\n")):
            usage = (event_of(line) or {}).get("usage")
            if isinstance(usage, dict):
                return usage_of(usage)
        return Tokens(completion=max(0, self._events - 1))


class JsonLinesAsIs:
    """Ollama's lines sent on unchanged.

    The last line is kept whole: that of ``/api/generate`` holds the context as numbers.
    """

    def __init__(self) -> None:
        self._tail = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        self._tail += chunk
        del self._tail[: self._tail.rfind(b"\n", 0, len(self._tail.rstrip())) + 1]
        if len(self._tail) > MAX_LINE_BYTES:
            raise BrokenStream(f"a line is longer than {MAX_LINE_BYTES} bytes")
        return chunk

    @property
    def finished(self) -> bool:
        return b"true" in self._tail and self._last().get("done") is True

    @property
    def tokens(self) -> Tokens:
        return ollama_tokens(self._last())

    def _last(self) -> JsonObject:
        return object_of(bytes(self._tail).strip()) or {}


def event_of(line: bytes) -> JsonObject | None:
    """The object of a ``data:`` line; None for comments, other fields and the end mark."""
    if not line.startswith(b"data:"):
        return None
    return object_of(line[5:].strip())


def object_of(text: bytes) -> JsonObject | None:
    """The JSON object in ``text``, or None."""
    if not text.startswith(b"{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def ollama_tokens(found: JsonObject) -> Tokens:
    """The figures of Ollama's answer, or of the last line of its stream."""
    loading = whole(found.get("load_duration")) or 0
    return Tokens(
        whole(found.get("prompt_eval_count")), whole(found.get("eval_count")), loading / 1e9
    )


def usage_of(usage: JsonObject) -> Tokens:
    return Tokens(whole(usage.get("prompt_tokens")), whole(usage.get("completion_tokens")))


def whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
