"""Turns bytes, cut anywhere, into JSON objects: newline-delimited JSON and server-sent events.

Invalid UTF-8, invalid JSON, an endless line or a value that is no object raise StreamBroken. A byte
order mark, any line end, events with several data lines, and one whole object in place of a stream
are accepted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from llm import errors

JsonObject = dict[str, Any]

MAX_LINE_BYTES = 1 << 20
MAX_WHOLE_BYTES = 16 << 20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_raw_decode = json.JSONDecoder().raw_decode


class LineSplitter:
    """Cuts chunks of bytes into lines without their ends. The line limit bounds the memory."""

    def __init__(self, *, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._rest = bytearray()
        self._max = max_line_bytes
        self._at_start = True

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes. A byte order mark at the start is dropped."""
        if self._at_start:
            self._rest += data
            if BYTE_ORDER_MARK.startswith(self._rest[: len(BYTE_ORDER_MARK)]) and (
                len(self._rest) < len(BYTE_ORDER_MARK)
            ):
                return []
            data = bytes(self._rest).removeprefix(BYTE_ORDER_MARK)
            self._rest.clear()
            self._at_start = False
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
        """The bytes after the last line end."""
        return bytes(self._rest)

    def _too_long(self) -> errors.StreamBroken:
        return errors.StreamBroken(f"a line of the stream is longer than {self._max} bytes")


def ndjson_objects(chunks: Iterable[bytes]) -> Iterator[JsonObject]:
    """Every line as an object, including a last one without a line end."""
    lines = LineSplitter()
    for chunk in chunks:
        for line in lines.feed(chunk):
            if line and not line.isspace():
                yield parse_object(line)
    rest = lines.rest()
    if rest.strip():
        yield parse_last(rest)


def sse_objects(chunks: Iterable[bytes]) -> Iterator[JsonObject | None]:
    """The data of every event as an object; None for the end marker ``[DONE]``.

    Comments and other fields are ignored. A bare JSON object in place of an event is accepted: some
    servers write one when they fail, and servers that ignore `stream` send a whole answer over
    several lines.
    """
    events = _Events()
    lines = LineSplitter()
    for chunk in _with_line_feeds(chunks):
        for line in lines.feed(chunk):
            yield from events.feed(line)
    yield from events.end(lines.rest())


class _Events:
    """Turns lines of an event stream into objects. Nearly every event is one data line, which is
    parsed immediately; data that is not valid JSON alone continues in the next data line."""

    def __init__(self) -> None:
        self._data = b""
        self._whole = bytearray()

    def feed(self, line: bytes) -> Iterator[JsonObject | None]:
        if self._whole:
            self._whole += line + b"\n"
            if len(self._whole) > MAX_WHOLE_BYTES:
                raise errors.StreamBroken(f"the answer is longer than {MAX_WHOLE_BYTES} bytes")
        elif line.startswith(b"data:"):
            data = line[5:].strip()
            if data == b"[DONE]":
                yield None
            elif data:
                yield from self._parsed(data)
        elif line.lstrip().startswith(b"{"):
            try:
                yield parse_object(line)
            except errors.StreamBroken:
                self._whole += line + b"\n"
        elif self._data and not line.strip():
            raise errors.StreamBroken(
                "the stream holds an event that is not JSON", body_excerpt=_seen(self._data)
            )

    def end(self, rest: bytes) -> Iterator[JsonObject | None]:
        """Process a last line without its end."""
        if self._whole:
            yield parse_last(bytes(self._whole + rest))
            return
        data = rest[5:].strip() if rest.startswith(b"data:") else rest
        if data == b"[DONE]":
            yield None
        elif self._data or (data and (data is not rest or rest.lstrip().startswith(b"{"))):
            yield parse_last(self._data + b"\n" + data if self._data else data)

    def _parsed(self, data: bytes) -> Iterator[JsonObject]:
        if self._data:
            data = self._data + b"\n" + data
        try:
            parsed = parse_object(data)
        except errors.StreamBroken:
            if len(data) > MAX_LINE_BYTES or not data.startswith(b"{"):
                raise
            self._data = data
            return
        self._data = b""
        yield parsed


def _with_line_feeds(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Replace carriage returns, with or without a line feed, by line feeds."""
    held = b""
    for chunk in chunks:
        if b"\r" not in chunk and not held:
            yield chunk
            continue
        chunk = held + chunk
        held = b"\r" if chunk.endswith(b"\r") else b""
        yield chunk[: len(chunk) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if held:
        yield b"\n"


def parse_object(data: bytes) -> JsonObject:
    """One JSON object in UTF-8, with optional white space around it; raises StreamBroken."""
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
    """Parse a last line without its end. Invalid JSON there means that the stream was cut."""
    try:
        return parse_object(data)
    except errors.StreamBroken as exc:
        raise errors.TruncatedStream(
            "the stream ended in the middle of a line", body_excerpt=_seen(data)
        ) from exc


def _seen(data: bytes) -> str:
    return data[: errors.BODY_EXCERPT_CHARS].decode("utf-8", "replace")
