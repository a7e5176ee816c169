"""Renames what a shared library exports, in a copy of its file in memory.

The wheel ``scipy-openblas32`` exports ``scipy_cblas_sgemm`` where MLX looks for ``cblas_sgemm``. A
name in the table of symbols is an offset into the table of names, so a prefix is dropped by moving
the offset. The names' hashes change with that: the table of hashes is written anew in its place, in
the older and smaller of the two forms that every loader reads (System V ABI, chapter 5).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

DYNAMIC_SYMBOLS = 0x0B
DYNAMIC = 0x06
GNU_HASH = 0x6FFFFFF6
GNU_HASH_TAG = 0x6FFFFEF5
HASH_TAG = 0x04
SECTION = struct.Struct("<2I4Q2I2Q")
SYMBOL = struct.Struct("<I4xQ8x")
ENTRY = struct.Struct("<qQ")


def without_prefix(library: bytes, prefix: bytes) -> bytes:
    """``library``, a 64-bit little-endian ELF file, with ``prefix`` dropped from the names of its
    dynamic symbols. Raises ValueError where it is not such a file or uses other tables."""
    if library[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    try:
        return _renamed(bytearray(library), prefix)
    except (KeyError, struct.error, IndexError) as error:
        raise ValueError(f"its tables are not the expected ones: {error!r}") from error


def _renamed(image: bytearray, prefix: bytes) -> bytes:
    in_order = list(_sections(image))
    sections = {kind: section for kind, *section in in_order}
    symbols_at, symbols_size, names_section = sections[DYNAMIC_SYMBOLS]
    names_at = in_order[names_section][1]
    hashes_at, hashes_size, _ = sections[GNU_HASH]
    count = symbols_size // SYMBOL.size
    buckets = hashes_size // 4 - 2 - count
    if buckets < 1:
        raise ValueError("no room for the hashes of its names")
    first, chain = [0] * buckets, [0] * count
    for number in range(1, count):
        at = symbols_at + number * SYMBOL.size
        name_offset, _ = SYMBOL.unpack_from(image, at)
        start = names_at + name_offset
        if image.startswith(prefix, start):
            struct.pack_into("<I", image, at, name_offset + len(prefix))
            start += len(prefix)
        bucket = _hash(image[start : image.index(0, start)]) % buckets
        chain[number], first[bucket] = first[bucket], number
    table = (buckets, count, *first, *chain)
    struct.pack_into(f"<{len(table)}I", image, hashes_at, *table)
    dynamic_at, dynamic_size, _ = sections[DYNAMIC]
    for at in range(dynamic_at, dynamic_at + dynamic_size, ENTRY.size):
        tag, value = ENTRY.unpack_from(image, at)
        if tag == GNU_HASH_TAG:
            ENTRY.pack_into(image, at, HASH_TAG, value)
            return bytes(image)
    raise ValueError("no table of hashes is named")


def _sections(image: bytearray) -> Iterator[tuple[int, int, int, int]]:
    """The kind, offset and size (bytes) of each section, and the number of the one it refers to."""
    (headers_at,) = struct.unpack_from("<Q", image, 0x28)
    (count,) = struct.unpack_from("<H", image, 0x3C)
    for number in range(count):
        _, kind, _, _, offset, size, link, *_ = SECTION.unpack_from(
            image, headers_at + number * SECTION.size
        )
        yield kind, offset, size, link


def _hash(name: bytes | bytearray) -> int:
    value = 0
    for byte in name:
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high
    return value
