"""Stores scans between calls and between processes."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from llm import scan_json
from llm.quarantine import QuarantinedModel, QuarantinedModels
from llm.types import Scan


class ScanCache(Protocol):
    """One text with a time to live."""

    def read(self) -> str | None: ...

    def write(self, text: str, ttl_seconds: float) -> None: ...


class MemoryScanCache:
    """For one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[str, float] | None = None

    def read(self) -> str | None:
        with self._lock:
            if self._kept is None or time.monotonic() >= self._kept[1]:
                return None
            return self._kept[0]

    def write(self, text: str, ttl_seconds: float) -> None:
        with self._lock:
            self._kept = (text, time.monotonic() + ttl_seconds)


@dataclass(frozen=True, slots=True)
class CachedScan:
    """What the cache holds: the last scan and the quarantined models."""

    scan: Scan
    quarantined: QuarantinedModels

    def dumps(self) -> str:
        quarantined = [
            [item.backend, item.model, item.reason, item.until.isoformat()]
            for item in self.quarantined.items
        ]
        return json.dumps({"scan": scan_json.dumps(self.scan), "asides": quarantined})

    @classmethod
    def loads(cls, text: str) -> CachedScan | None:
        """Read a cached scan; None where another version wrote it, so that a new scan is made."""
        try:
            document = json.loads(text)
            quarantined = tuple(
                QuarantinedModel(backend, model, reason, datetime.fromisoformat(until))
                for backend, model, reason, until in document["asides"]
            )
            return cls(scan_json.loads(document["scan"]), QuarantinedModels(quarantined))
        except (ValueError, KeyError, TypeError):
            return None
