"""Reads JSONL a line at a time: each line is a value or the reason why it is none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAX_LINE_BYTES = 8 * 1024 * 1024
MAX_ARRAY_BYTES = 64 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_DOCUMENT_BEGINS = re.compile(rb"\s{0,100}(?:\[\s{0,100}(?:\{|\Z)|\{\s{0,100}\Z)")
_CONVERT = "save it as UTF-8, for example by iconv -f {} -t UTF-8 FILE"
_FOREIGN = (
    (re.compile(rb"\xff\xfe\0\0|\0\0\xfe\xff"), f"UTF-32; {_CONVERT.format('UTF-32')}"),
    (re.compile(rb"\xff\xfe|\xfe\xff"), f"UTF-16; {_CONVERT.format('UTF-16')}"),
    (re.compile(rb"[^\0]\0"), f"UTF-16; {_CONVERT.format('UTF-16LE')}"),
    (re.compile(rb"\0[^\0]"), f"UTF-16; {_CONVERT.format('UTF-16BE')}"),
    (re.compile(rb"\x1f\x8b"), "compressed; unpack it, for example by gunzip FILE"),
    (re.compile(rb"PK\x03\x04"), "a ZIP archive or a spreadsheet; unpack it, or save it as CSV"),
)
"""How a file begins that is no UTF-8 text, and what it is."""


@dataclass(frozen=True, slots=True)
class Line:
    """Line ``number`` (from 1) of a file: ``value``, or ``error``; it took ``size_bytes``."""

    number: int
    value: object = None
    error: str | None = None
    size_bytes: int = 0


def read_lines(stream: BinaryIO) -> Iterator[Line]:
    """Every line that is not blank, or every item of a file that is one JSON array or object.

    Of JSONL one line is held in memory, however long the file is; a document is held whole.
    """
    number = 0
    while True:
        number += 1
        raw = stream.readline(MAX_LINE_BYTES)
        if not raw:
            return
        text = raw.removeprefix(_BOM) if number == 1 else raw
        if number == 1 and (foreign := _foreign(text)):
            yield Line(1, error=f"line: the file is {foreign}")
            return
        if number == 1 and _DOCUMENT_BEGINS.match(text):
            yield from _document(text, stream)
            return
        if len(raw) >= MAX_LINE_BYTES and not raw.endswith(b"\n"):
            size_bytes = len(raw) + _skip_rest(stream)
            yield Line(number, error="line: is longer than 8 MB; split it", size_bytes=size_bytes)
            continue
        if text.strip():
            yield _parsed(number, text, size_bytes=len(raw))


def _foreign(beginning: bytes) -> str | None:
    return next((what for begins, what in _FOREIGN if begins.match(beginning)), None)


def _document(beginning: bytes, stream: BinaryIO) -> Iterator[Line]:
    content = beginning + stream.read(MAX_ARRAY_BYTES)
    if len(content) > MAX_ARRAY_BYTES:
        yield Line(1, error="line: a document of more than 64 MB; write one object a line")
        return
    whole = _parsed(1, content, size_bytes=len(content))
    if whole.error and not beginning.lstrip().startswith(b"["):
        lines = enumerate(content.splitlines(), start=1)
        yield from (_parsed(n, line, size_bytes=len(line)) for n, line in lines if line.strip())
        return
    if not isinstance(whole.value, list):
        yield whole
        return
    size_bytes = len(content) // max(1, len(whole.value))
    for number, item in enumerate(whole.value, start=1):
        yield Line(number, value=item, size_bytes=size_bytes)


def _parsed(number: int, raw: bytes, *, size_bytes: int) -> Line:
    try:
        # Lines cut out of an array keep their commas.
        value = json.loads(raw.decode("utf-8").rstrip().removesuffix(","))
    except UnicodeDecodeError as error:
        message = f"line: is not UTF-8 (byte {error.start + 1})"
        if _is_russian(raw):
            message += f"; it looks like CP1251: {_CONVERT.format('CP1251')}"
        return Line(number, error=message, size_bytes=size_bytes)
    except json.JSONDecodeError as error:
        message = f"line: is not JSON ({error.msg} at column {error.colno})"
        return Line(number, error=message, size_bytes=size_bytes)
    except RecursionError:
        return Line(number, error="line: is nested too deeply", size_bytes=size_bytes)
    except ValueError as error:
        return Line(number, error=f"line: is not JSON ({error})", size_bytes=size_bytes)
    return Line(number, value=value, size_bytes=size_bytes)


def _is_russian(raw: bytes) -> bool:
    letters = [char for char in raw.decode("cp1251", "replace") if ord(char) > 127]
    return sum("\u0410" <= char <= "\u044f" for char in letters) > 0.8 * len(letters)


def _skip_rest(stream: BinaryIO) -> int:
    skipped = 0
    while part := stream.readline(MAX_LINE_BYTES):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped
