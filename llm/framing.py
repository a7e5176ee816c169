"""From bytes, cut anywhere, to JSON objects: newline-delimited JSON and server-sent events.

Strict: broken UTF-8, broken JSON, an endless line or a value that is no object raise StreamBroken.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from llm import errors

JsonObject = dict[str, Any]

MAX_LINE_BYTES = 1 << 20

_raw_decode = json.JSONDecoder().raw_decode


class Lines:
    """Cuts chunks of bytes into lines, without their ends. Memory is bounded by the line limit."""

    def __init__(self, *, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._rest = bytearray()
        self._max = max_line_bytes

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes."""
        lines = data.split(b"\n")
        if self._rest:
            self._rest += lines[0]
            if len(self._rest) > self._max:
                raise self._too_long()
            if len(lines) == 1:
                return []
            lines[0] = bytes(self._rest)
            self._rest.clear()
        last = lines.pop()
        if last:
            if len(last) > self._max:
                raise self._too_long()
            self._rest += last
        return lines

    def rest(self) -> bytes:
        """What came after the last line end."""
        return bytes(self._rest)

    def _too_long(self) -> errors.StreamBroken:
        return errors.StreamBroken(f"a line of the stream is longer than {self._max} bytes")


def ndjson_objects(chunks: Iterable[bytes]) -> Iterator[JsonObject]:
    """Every line as an object; also a last one without a line end."""
    lines = Lines()
    for chunk in chunks:
        for line in lines.feed(chunk):
            if line and not line.isspace():
                yield parse_object(line)
    rest = lines.rest()
    if rest.strip():
        yield parse_last(rest)


def sse_objects(chunks: Iterable[bytes]) -> Iterator[JsonObject | None]:
    """The data of every event as an object; None for the end marker ``[DONE]``.

    Comments and other fields are passed over. A bare JSON object in place of an event, which some
    servers write when they fail, is taken as one.
    """
    lines = Lines()
    for chunk in chunks:
        for line in lines.feed(chunk):
            data = _event_data(line)
            if data is not None:
                yield None if data == b"[DONE]" else parse_object(data)
    data = _event_data(lines.rest())
    if data:
        yield None if data == b"[DONE]" else parse_last(data)


def parse_object(data: bytes) -> JsonObject:
    """One JSON object in UTF-8, white space around it allowed; raises StreamBroken."""
    try:
        text = data.decode("utf-8").strip()
        value, end = _raw_decode(text)
    except UnicodeDecodeError as exc:
        raise errors.StreamBroken(
            "the stream is not valid UTF-8", body_excerpt=_seen(data)
        ) from exc
    except (ValueError, RecursionError) as exc:
        raise errors.StreamBroken(
            "the stream holds a line that is not JSON", body_excerpt=_seen(data)
        ) from exc
    if end != len(text) or type(value) is not dict:
        raise errors.StreamBroken(
            "the stream holds a line that is not a JSON object", body_excerpt=_seen(data)
        )
    return value


def parse_last(data: bytes) -> JsonObject:
    """A last line without its end: broken means cut."""
    try:
        return parse_object(data)
    except errors.StreamBroken as exc:
        raise errors.TruncatedStream(
            "the stream ended in the middle of a line", body_excerpt=_seen(data)
        ) from exc


def _event_data(line: bytes) -> bytes | None:
    if line.startswith(b"data:"):
        data = line[5:].strip()
        return data or None
    if line.startswith(b"{"):
        return line
    return None


def _seen(data: bytes) -> str:
    return data[: errors.BODY_EXCERPT_CHARS].decode("utf-8", "replace")
