"""What the log says of a plan: our own line, and those that operators of old look for."""

from __future__ import annotations

import logging
from datetime import datetime

from jobs.policy.types import Plan, Snapshot
from models import attempt

logger = logging.getLogger(__name__)


class PlanLog:
    """Counts what was completed from plan to plan. Needs a session."""

    def __init__(self) -> None:
        self._told_at: datetime | None = None

    def tell(self, reason: str, given: Snapshot, made: Plan) -> None:
        logger.info(
            "planned reason=%s policy=%s tasks=%d blocks=%d waiting=%d (%s)",
            reason, made.policy.value, len(given.tasks), len(made.blocks), len(made.unplaced),
            made.reason,
        )  # fmt: skip
        pending = len(given.tasks) + sum(further.count for further in given.beyond)
        logger.info("Found %d pending tasks", pending)
        logger.info("Батчи по модели: %d блоков", len(made.blocks))
        if self._told_at is not None:
            completed = attempt.completed_between(self._told_at, given.now)
            if completed:
                logger.info("Completed: %d tasks processed", completed)
        self._told_at = given.now
