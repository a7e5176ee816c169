"""Repeats the logs of every program on one stream, as a container's logs are read."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

POLL_SECONDS = 0.5
LINE_BYTES = 65_536


@dataclass
class LogFollower:
    """Follows ``*.log`` of ``directory`` from now on, also files that are made or rotated later.

    ``say`` gets each line with the name of its program; a line of JSON, which names it, as it is.
    """

    directory: Path
    say: Callable[[str], None]
    _files: dict[Path, BufferedReader] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in self.directory.glob("*.log"):
            self._open(path).seek(0, os.SEEK_END)

    def look(self) -> None:
        """Repeat what was written since the last look."""
        for path in sorted(self.directory.glob("*.log")):
            file = self._files.get(path) or self._open(path)
            self._repeat(path.stem, file)
            if not os.path.samestat(path.stat(), os.fstat(file.fileno())):
                self._repeat(path.stem, self._open(path))  # it was rotated: the new one is short

    def run(self, stop: threading.Event) -> None:
        """Look until ``stop``, and once more then."""
        while not stop.wait(POLL_SECONDS):
            self.look()
        self.look()

    def _open(self, path: Path) -> BufferedReader:
        if path in self._files:
            self._files.pop(path).close()
        self._files[path] = path.open("rb")
        return self._files[path]

    def _repeat(self, program: str, file: BufferedReader) -> None:
        while line := file.readline(LINE_BYTES):
            if not line.endswith(b"\n") and len(line) < LINE_BYTES:
                file.seek(-len(line), os.SEEK_CUR)  # the rest is being written
                return
            text = line.decode("utf-8", "replace").rstrip()
            self.say(text if text.startswith("{") else f"{program} | {text}")
