"""Looks at the rows twice a second, and remembers the longest that any stood still."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import psycopg2

from benchmarks.chaos.stage import LEASE_SECONDS, Stage

LOOK_SECONDS = 0.5

STANDING = """
SELECT coalesce(max(extract(epoch FROM now() - lease_expires_at)) FILTER
         (WHERE status = 'in_progress'), -1e9) + %(lease)s AS running,
       coalesce(max(extract(epoch FROM now() - queued_at)) FILTER
         (WHERE status = 'queued'), 0) AS queued
FROM tasks WHERE status IN ('queued', 'in_progress')
"""


@dataclass
class Standstill:
    """Seconds: since the last heartbeat of a running row, and of a row waiting to be taken."""

    running_seconds: float = 0.0
    queued_seconds: float = 0.0
    looks: int = 0
    misses: int = 0
    _stopping: threading.Event = field(default_factory=threading.Event)

    def watch(self, stage: Stage) -> threading.Thread:
        thread = threading.Thread(target=self._watch_on, args=(stage,), name="watch", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        self._stopping.set()

    def _watch_on(self, stage: Stage) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                row = stage.system.sql(STANDING, {"lease": LEASE_SECONDS})[0]
            except psycopg2.Error:
                self.misses += 1
                continue
            if time.monotonic() < stage.excused_until:
                continue
            self.looks += 1
            self.running_seconds = max(self.running_seconds, float(row["running"]))
            self.queued_seconds = max(self.queued_seconds, float(row["queued"]))
