"""Publishes a running answer while somebody watches it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import redis

from jobs.queues.names import live_key, watch_key
from llm.types import GenerationProgress

KEPT_SECONDS = 10


class Watched(Protocol):
    """The fields of a running attempt that this reads."""

    task_id: str
    progress: GenerationProgress


class LiveAnswers:
    """Publishes the text so far of those running tasks whose watch key exists."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def show(self, running: Sequence[Watched]) -> None:
        """Publish the watched answers: one read for all tasks, one write for each watched one."""
        watched = self._client.mget([watch_key(one.task_id) for one in running])
        for one, mark in zip(running, watched, strict=True):
            text = one.progress.partial_text
            if mark is not None and text is not None:
                self._client.set(live_key(one.task_id), text(), ex=KEPT_SECONDS)
