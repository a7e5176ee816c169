"""Saves finished steps of a running task in its row."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from jobs.attempt.lease_keeper import LEASE_LOST, RunningAttempt
from llm.errors import CallCancelled
from models.database import DatabaseUnavailable, session
from models.task import Task

logger = logging.getLogger(__name__)


class RowCheckpoint:
    """The :class:`jobs.attempt.processors.base.Checkpoint` of one attempt."""

    def __init__(self, running: RunningAttempt, saved: object) -> None:
        self._running = running
        steps = saved if isinstance(saved, Mapping) else {}
        self._steps: dict[str, str] = {
            str(step): text for step, text in steps.items() if isinstance(text, str)
        }

    def load(self, step: str) -> str | None:
        return self._steps.get(step)

    def save(self, step: str, text: str) -> None:
        """Save a step. If the row cannot be written now, the step is kept in memory and saved with
        the next one; the lease keeper ends the attempt if the lease is lost."""
        self._steps[step] = text
        try:
            with session():
                kept = Task.save_checkpoint(self._running.task_id, self._running.epoch, self._steps)
        except DatabaseUnavailable as error:
            logger.warning("step_not_kept_yet task=%s error=%s", self._running.task_id, error)
            return
        # Another worker has the row: more model calls here would be thrown away.
        if not kept:
            raise CallCancelled(LEASE_LOST)

    def progress(self, done: int, total: int, text: str) -> None:
        self._running.note = f"{done} of {total}: {text}"
