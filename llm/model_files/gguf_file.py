"""A checked GGUF file, with its metadata by name."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gguf import GGUFReader, ReaderTensor

from llm.model_files.errors import ModelFileError

T = TypeVar("T")

MAGIC = b"GGUF"
# What GGUFReader raises where a count, an offset or a text of the file is invalid.
_DAMAGE = (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error, MemoryError)


@dataclass(frozen=True, slots=True)
class GgufFile:
    """``metadata`` by the file's own keys; ``tensors`` share memory with the mapped file."""

    metadata: Mapping[str, Any]
    tensors: tuple[ReaderTensor, ...]

    @property
    def architecture(self) -> str:
        return self.value("general.architecture", str)

    def value(self, key: str, kind: type[T], default: T | None = None) -> T:
        """A metadata value. Raises ModelFileError where the key is missing or has another type."""
        found = self.metadata.get(key, default)
        if kind is float and isinstance(found, int):
            found = float(found)
        if not isinstance(found, kind):
            raise ModelFileError(f"damaged: {key} is {found!r}, not {kind.__name__}")
        return found

    def parameter(self, name: str, kind: type[T], default: T | None = None) -> T:
        """A value of the architecture, such as ``block_count``."""
        return self.value(f"{self.architecture}.{name}", kind, default)


def read_gguf(path: Path) -> GgufFile:
    """Map the file into memory. Raises ModelFileError for a damaged file, OSError for a missing
    one."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ModelFileError(f"{path} is no GGUF file: it does not begin with GGUF")
    try:
        reader = GGUFReader(path)
        metadata = {name: field.contents() for name, field in reader.fields.items()}
    except _DAMAGE as error:
        raise ModelFileError(f"{path} is damaged or cut short: {error}") from error
    return GgufFile(metadata, tuple(reader.tensors))
