"""The bytes of files, under ``KOS_HOME/files``: written whole or not at all."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

COPY_BYTES = 1024 * 1024
_NAME = re.compile(r"file-[0-9a-f]{24}")


class Disk:
    """Files by id. Ids are ours, so a path never comes from a stranger."""

    def __init__(self, home: Path) -> None:
        self._directory = home / "files"

    def path(self, file_id: str) -> Path:
        """Raises ValueError for what is no id of ours."""
        if not _NAME.fullmatch(file_id):
            raise ValueError(f"not the id of a file: {file_id[:60]!r}")
        return self._directory / file_id

    def keep(self, file_id: str, source: BinaryIO) -> int:
        """Copy ``source`` to its place; its size in bytes."""
        return self.write(file_id, iter(lambda: source.read(COPY_BYTES), b""))

    def write(self, file_id: str, pieces: Iterable[bytes]) -> int:
        """The same for a sequence of pieces."""
        target = self.path(file_id)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".part-", dir=self._directory)
        size_bytes = 0
        try:
            with os.fdopen(descriptor, "wb") as part:
                for piece in pieces:
                    part.write(piece)
                    size_bytes += len(piece)
                part.flush()
                os.fsync(part.fileno())
            os.replace(name, target)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(name)
            raise
        return size_bytes

    def delete(self, file_id: str) -> None:
        self.path(file_id).unlink(missing_ok=True)
