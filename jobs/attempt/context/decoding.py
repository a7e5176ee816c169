"""Decodes a file in any common encoding; binary files are refused."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterator

from charset_normalizer import from_bytes

from jobs.attempt.context.safe_open import FileRefused

SNIFF_BYTES = 8192
SAMPLE_BYTES = 65536
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CODE_PAGES = ["cp1251", "koi8_r", "cp866", "mac_cyrillic", "cp1252"]
_RUSSIAN = ("cp1251", "koi8_r", "cp866", "mac_cyrillic")
_COMMON = frozenset("оеаинтсрвл")
_MIN_COMMON_SHARE = 0.45
_FOREIGN_RUN = re.compile(r"[^\x00-\x7f]+")
_FOREIGN_BYTE = re.compile(rb"[\x80-\xff]")
_FOREIGN_BYTES = re.compile(rb"[\x80-\xff]+")
_IN_LATIN_WORD = re.compile(rb"(?<=[A-Za-z])[\x80-\xff]{1,2}|[\x80-\xff]{1,2}(?=[A-Za-z])")
_MAX_CONTROL_SHARE = 0.02


def decoded(content: bytes) -> str:
    """The text with newlines as ``\\n``. Raises `FileRefused` for what is not text."""
    text = _marked(content) or _utf16_unmarked(content)
    if text is None:
        if b"\x00" in content[:SNIFF_BYTES]:
            raise FileRefused("is a binary file (it holds NUL bytes)")
        text = _utf8(content)
    if text is None:
        text = content.decode(code_page(content), errors="replace")
    if _control_share(text) > _MAX_CONTROL_SHARE:
        raise FileRefused("is a binary file (it holds control characters)")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")


def code_page(content: bytes) -> str:
    """The likely encoding of text that is no Unicode."""
    # Only lines with non-ASCII bytes: a source file may have a single such comment.
    telling = b"\n".join(_telling_lines(content))
    if 2 * len(_IN_LATIN_WORD.findall(telling)) > len(_FOREIGN_BYTES.findall(telling)):
        return "cp1252"
    encoding = _russian_page(telling)
    if encoding is None:
        best = from_bytes(telling, cp_isolation=_CODE_PAGES).best()
        encoding = best.encoding if best is not None else "latin1"
    return encoding


def _marked(content: bytes) -> str | None:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding, errors="replace")
    return None


def _utf16_unmarked(content: bytes) -> str | None:
    # Letters of one script share their high byte, so one half of the bytes is nearly constant.
    sample = content[:SNIFF_BYTES]
    if len(sample) < 8 or len(content) % 2:
        return None
    for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        high, low = sample[offset::2], sample[1 - offset :: 2]
        scripts = sum(byte in (0x00, 0x04, 0x20) for byte in high) / len(high)
        if scripts > 0.95 and 0x00 in high and low.count(0) / len(low) < 0.02:
            try:
                return content.decode(encoding)
            except UnicodeDecodeError:
                return None
    return None


def _utf8(content: bytes) -> str | None:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        around = content[max(0, error.start - SAMPLE_BYTES) : error.start + SAMPLE_BYTES]
    # Damaged UTF-8 still has more whole characters than broken ones; a code page has hardly any.
    foreign = [char for char in around.decode("utf-8", errors="replace") if not char.isascii()]
    broken = foreign.count("\ufffd")
    return content.decode("utf-8", errors="replace") if len(foreign) > 2 * broken else None


def _telling_lines(content: bytes) -> Iterator[bytes]:
    size_bytes = 0
    for line in content.split(b"\n"):
        if line.isascii():
            continue
        # The non-ASCII part of a long line may be anywhere in it.
        foreign = _FOREIGN_BYTE.search(line)
        start = max(0, foreign.start() - SAMPLE_BYTES // 2) if foreign else 0
        yield line[start : start + SAMPLE_BYTES]
        size_bytes += len(line)
        if size_bytes > SAMPLE_BYTES:
            return


def _russian_page(content: bytes) -> str | None:
    """The code page under which the text has the most common Russian letters; one line is
    enough."""
    shares = [(_common_share(content.decode(page, errors="replace")), page) for page in _RUSSIAN]
    share, page = max(shares, key=lambda found: found[0])
    return page if share >= _MIN_COMMON_SHARE else None


def _common_share(text: str) -> float:
    """The share of common Russian letters among the non-ASCII runs. Russian words use one script;
    an accent in a Latin word stands alone."""
    runs = _FOREIGN_RUN.findall(text)
    foreign = "".join(run for run in runs if len(run) > 1)
    alone = sum(len(run) == 1 for run in runs)
    if alone >= len(foreign):
        return 0.0
    common = sum(char in _COMMON or 0.9 * (char.lower() in _COMMON) for char in foreign)
    frames = sum(unicodedata.category(char) == "So" for char in foreign)
    return (common - frames) / len(foreign)


def _control_share(text: str) -> float:
    sample = text[:SAMPLE_BYTES]
    controls = sum(ord(char) < 32 and char not in "\t\n\r\f\v\x1b" for char in sample)
    return controls / len(sample) if sample else 0.0
