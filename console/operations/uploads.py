"""Files that come with a task: kept in the home as long as a task names their directory.

``metadata.upload`` is the name of the directory, so that the hourly maintenance can tell which are
needed; runs of the same task share it.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from console.operations.errors import InvalidInput
from jobs.attempt.context.safe_open import MAX_FILE_BYTES

KEY = "upload"
MAX_FILES = 20
MAX_NAME_CHARS = 100
_ODD = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class Upload:
    """One directory with the files of one form."""

    directory: Path
    files: tuple[Path, ...]

    def delete(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


def keep(sent: Sequence[tuple[str, BinaryIO]], *, below: Path) -> Upload:
    """Keep the files under their own names; raises InvalidInput and keeps none of them then."""
    if len(sent) > MAX_FILES:
        raise InvalidInput(f"files: at most {MAX_FILES} at once")
    directory = below / secrets.token_hex(16)
    directory.mkdir(mode=0o700, parents=True)
    upload = Upload(directory, tuple(directory / name for name in _names(sent)))
    try:
        for path, (name, source) in zip(upload.files, sent, strict=True):
            path.write_bytes(_content(name, source))
    except BaseException:
        upload.delete()
        raise
    return upload


def _content(name: str, source: BinaryIO) -> bytes:
    content = source.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise InvalidInput(f"files: {name[:100]!r} is larger than {MAX_FILE_BYTES // 10**6} MB")
    return content


def _names(sent: Sequence[tuple[str, BinaryIO]]) -> list[str]:
    """Plain names, each once: a name comes from a stranger's browser."""
    names: list[str] = []
    for written, _ in sent:
        plain = _ODD.sub("_", written.replace("\\", "/").rpartition("/")[2]).strip(".")
        name = plain[-MAX_NAME_CHARS:] or "file"
        names.append(f"{len(names)}-{name}" if name in names else name)
    return names
