"""Records a plan: our own log line, those that operators of old look for, and two counters."""

from __future__ import annotations

import logging
import time
from datetime import datetime
from typing import Any

import redis

from jobs.policy.types import Plan, Snapshot
from jobs.queues.names import PLANNER, PLANNER_CYCLE
from models import attempt

logger = logging.getLogger(__name__)


class PlanLog:
    """Counts what was completed from plan to plan. Needs a session."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._last_at: datetime | None = None

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
        if self._last_at is not None:
            completed = attempt.completed_between(self._last_at, snapshot.now)
            if completed:
                logger.info("Completed: %d tasks processed", completed)
        self._last_at = snapshot.now

    def cycle_ended(self) -> None:
        """Without an exception, whether or not there was anything to plan or send."""
        self._client.set(PLANNER_CYCLE, time.time())

    def since_cycle_seconds(self) -> float:
        """Since a cycle last ended in any process; infinite where none ever did."""
        stored: Any = self._client.get(PLANNER_CYCLE)
        return time.time() - float(stored) if stored is not None else float("inf")
