"""Records a plan: our own log line, those that operators of old look for, and two counters."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

import redis

from jobs.policy.types import Plan, Snapshot
from jobs.process.clock import epoch_seconds
from jobs.queues.names import PLANNER, PLANNER_CYCLE
from models import attempt

logger = logging.getLogger(__name__)


COMPLETED_SECONDS = 10.0
"""While the backlog drains, what was completed is said this often."""


class PlanLog:
    """Logs what was planned, and what was completed since the last line. Needs a session."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._since: datetime | None = None
        self._logged_at: datetime | None = None
        self._logged = 0

    def record(self, reason: str, snapshot: Snapshot, plan: Plan, *, seconds: float) -> None:
        """``seconds`` is how long the plan took to make: the metrics show it."""
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hincrby(PLANNER, "plans", 1)
            pipe.hincrbyfloat(PLANNER, "seconds", seconds)
            pipe.execute()
        logger.info(
            "planned reason=%s policy=%s tasks=%d blocks=%d waiting=%d (%s)",
            reason, plan.policy.value, len(snapshot.tasks), len(plan.blocks), len(plan.unplaced),
            plan.reason,
        )  # fmt: skip
        pending = len(snapshot.tasks) + sum(further.count for further in snapshot.beyond)
        logger.info("Found %d pending tasks", pending)
        logger.info("Батчи по модели: %d блоков", len(plan.blocks))

    def completed(self, now: datetime, *, at_end: bool) -> None:
        """Log what was completed: every few seconds, and ``at_end``, once nothing is left to run.

        Counted from the start of the backlog each time, so that an end committed late is not lost.
        """
        if self._since is None or self._logged_at is None:
            self._since = self._logged_at = now
        if not at_end and (now - self._logged_at).total_seconds() < COMPLETED_SECONDS:
            return
        count = attempt.completed_between(self._since, now)
        if count > self._logged:
            logger.info("Completed: %d tasks processed", count - self._logged)
        self._logged_at, self._logged = now, count
        if at_end:
            self._since, self._logged = now, 0

    def cycle_ended(self) -> None:
        """Record that a cycle ended without an exception, whether or not it sent anything."""
        self._client.set(PLANNER_CYCLE, epoch_seconds())

    def since_cycle_seconds(self) -> float:
        """Since a cycle last ended in any process; infinite where none ever did."""
        stored: Any = self._client.get(PLANNER_CYCLE)
        return epoch_seconds() - float(stored) if stored is not None else float("inf")
