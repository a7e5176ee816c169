"""Reads JSONL or a table a line at a time: each line is a value or the reason why it is none."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

MAX_LINE_BYTES = 8_000_000
MAX_ARRAY_BYTES = 64_000_000
_BOM = b"\xef\xbb\xbf"
_DOCUMENT_BEGINS = re.compile(rb"\s{0,100}(?:\[\s{0,100}(?:\{|\Z)|\{\s{0,100}\Z)")
TABLE_SUFFIXES = (".csv", ".tsv", ".tab")
TABLE_REMEDY = "a table fills a template: kos submit --template NAME --vars FILE"
_DELIMITERS = ",;\t|"
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


@dataclass(frozen=True, slots=True, order=True)
class RejectedLine:
    """The number of a line (from 1), and why it was refused."""

    line: int
    error: str


def read_lines(stream: BinaryIO) -> Iterator[Line]:
    """Every line that is not blank, or every item of a file that is one JSON array or object.

    Of JSONL one line is held in memory, however long the file is; a document is held whole.
    Lines may end in LF, CR LF or CR.
    """
    # Latin-1 keeps every byte as it is.
    text_stream = io.TextIOWrapper(stream, "latin-1")
    try:
        yield from _lines(text_stream)
    finally:
        text_stream.detach()


def is_table(name: str) -> bool:
    return name.lower().endswith(TABLE_SUFFIXES)


def read_table(stream: BinaryIO) -> Iterator[Line]:
    """Each row of a table as an object by the names in its first row. Fields are separated by
    commas, semicolons, tabs or bars, whichever the first row holds most of. Empty rows are skipped.
    """
    content = stream.read(MAX_ARRAY_BYTES + 1)
    if len(content) > MAX_ARRAY_BYTES:
        yield Line(1, error="line: the table is larger than 64 MB; split it")
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield Line(1, error=f"line: the file is {_foreign(content) or _not_utf8(content, error)}")
        return
    head = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        yield from filter(None, (_row(reader.line_num, row) for row in reader))
    except csv.Error as error:
        reason = f"line: cannot be read ({error}); the rows after it were left out"
        yield Line(reader.line_num + 1, error=reason)


def _row(number: int, row: dict[Any, Any]) -> Line | None:
    if row.pop(None, None):
        return Line(number, error="line: has more fields than the first row")
    values = {name: value for name, value in row.items() if name and value is not None}
    return Line(number, value=values) if any(map(str.strip, values.values())) else None


def _lines(stream: io.TextIOWrapper) -> Iterator[Line]:
    number = 0
    while True:
        number += 1
        raw = stream.readline(MAX_LINE_BYTES).encode("latin-1")
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


def _document(beginning: bytes, stream: io.TextIOWrapper) -> Iterator[Line]:
    content = beginning + stream.read(MAX_ARRAY_BYTES).encode("latin-1")
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
        message = f"line: is {_not_utf8(raw, error)}"
        return Line(number, error=message, size_bytes=size_bytes)
    except json.JSONDecodeError as error:
        message = f"line: is not JSON ({error.msg} at column {error.colno})"
        if number == 1 and not raw.lstrip().startswith((b"{", b"[")):
            message += f"; {TABLE_REMEDY}"
        return Line(number, error=message, size_bytes=size_bytes)
    except RecursionError:
        return Line(number, error="line: is nested too deeply", size_bytes=size_bytes)
    except ValueError as error:
        return Line(number, error=f"line: is not JSON ({error})", size_bytes=size_bytes)
    return Line(number, value=value, size_bytes=size_bytes)


def _not_utf8(raw: bytes, error: UnicodeDecodeError) -> str:
    from jobs.attempt.context.decoding import code_page

    name = code_page(raw).upper().replace("_", "-")
    return f"not UTF-8 (byte {error.start + 1}); it looks like {name}: {_CONVERT.format(name)}"


def _skip_rest(stream: io.TextIOWrapper) -> int:
    skipped = 0
    while part := stream.readline(MAX_LINE_BYTES):
        skipped += len(part)
        if part.endswith("\n"):
            break
    return skipped
