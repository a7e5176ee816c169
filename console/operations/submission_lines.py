"""Reads JSONL a line at a time: each line is a value or the reason why it is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAX_LINE_BYTES = 8 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """Line ``number`` (from 1) of a file: ``value``, or ``error``; it took ``size_bytes``."""

    number: int
    value: object = None
    error: str | None = None
    size_bytes: int = 0


def read_lines(stream: BinaryIO) -> Iterator[Line]:
    """Every line that is not blank. Holds one line in memory, however long the file is."""
    number = 0
    while True:
        number += 1
        raw = stream.readline(MAX_LINE_BYTES)
        if not raw:
            return
        if len(raw) >= MAX_LINE_BYTES and not raw.endswith(b"\n"):
            size_bytes = len(raw) + _skip_rest(stream)
            yield Line(number, error="line: is longer than 8 MB; split it", size_bytes=size_bytes)
            continue
        text = raw.removeprefix(_BOM) if number == 1 else raw
        if text.strip():
            yield _parsed(number, text, size_bytes=len(raw))


def _parsed(number: int, raw: bytes, *, size_bytes: int) -> Line:
    try:
        value = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Line(
            number, error=f"line: is not UTF-8 (byte {error.start + 1})", size_bytes=size_bytes
        )
    except json.JSONDecodeError as error:
        message = f"line: is not JSON ({error.msg} at column {error.colno})"
        return Line(number, error=message, size_bytes=size_bytes)
    except RecursionError:
        return Line(number, error="line: is nested too deeply", size_bytes=size_bytes)
    except ValueError as error:
        return Line(number, error=f"line: is not JSON ({error})", size_bytes=size_bytes)
    return Line(number, value=value, size_bytes=size_bytes)


def _skip_rest(stream: BinaryIO) -> int:
    skipped = 0
    while part := stream.readline(MAX_LINE_BYTES):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped
