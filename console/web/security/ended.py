"""Sessions that were ended by a logout, kept until they would have expired anyway."""

from __future__ import annotations

import json
import threading
from pathlib import Path

MOST = 10_000


class EndedSessions:
    """Names of ended sessions with their expiry, in a file so that a restart revives none.

    Only who is logged in can add one, so the file stays small; beyond ``MOST`` the ones that expire
    first are dropped.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._ended = _read(file)

    def __contains__(self, name: str) -> bool:
        return name in self._ended

    def add(self, name: str, *, expires: float, now: float) -> None:
        """Raises OSError where it cannot be kept."""
        with self._lock:
            kept = {n: at for n, at in self._ended.items() if at >= now} | {name: expires}
            newest = sorted(kept.items(), key=lambda one: one[1])[-MOST:]
            self._ended = dict(newest)
            if self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                fresh = self._file.with_suffix(".new")
                fresh.write_text(json.dumps(self._ended), encoding="utf-8")
                fresh.replace(self._file)


def _read(file: Path | None) -> dict[str, float]:
    """An unreadable file counts as empty: a logout is lost, but nobody is locked out."""
    if file is None:
        return {}
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return {str(name): float(at) for name, at in kept.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
