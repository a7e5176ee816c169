"""The stream whose consumer works rows of ``tasks`` beside us (``KOS_COMPAT=knowledge_os``).

A delegated row is ``pending`` in the table and has an entry in the stream, so both consumers could
work it. The entry decides. If no consumer has received it yet, one script removes it here and the
row is ours; otherwise the row belongs to the consumer that received the entry.
"""

from __future__ import annotations

import time
from importlib import resources

import redis

STREAMS = ("expert_tasks", "stream:expert_tasks")
"""Its name, with and without the prefix that its Redis client puts before streams."""
GRACE_SECONDS = 1.0
"""The row is written before the entry; a younger row may yet be delegated."""
ENTRIES = 2000


class ExpertTasks:
    """Raises RedisError where Redis does not answer."""

    def __init__(self, client: redis.Redis, *, silent_seconds: float) -> None:
        folder = resources.files("jobs.admission") / "lua"
        self._client = client
        self._works = client.register_script((folder / "expert_tasks_works.lua").read_text())
        self._silent_ms = int(silent_seconds * 1000)

    def works(self, task_id: str, *, age_seconds: float) -> bool:
        """Whether its consumer works the task. False: the task is ours, for its entry was taken
        out of the stream or is done there, or there is none.

        Waits where the row is so young that its entry may still come.
        """
        if not self._client.exists(*STREAMS):
            return False
        time.sleep(min(GRACE_SECONDS, max(0.0, GRACE_SECONDS - age_seconds)))
        return bool(self._works(keys=STREAMS, args=[task_id, self._silent_ms, ENTRIES]))
