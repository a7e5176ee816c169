"""Logs checks that turned red or green, and those that stay red."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from jobs.upkeep.health.checks import HealthCheck

logger = logging.getLogger(__name__)

REMIND_SECONDS = 300.0


class TransitionLog:
    """Remembers what it logged. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._red_logged_at: dict[str, float] = {}

    def record(self, checks: Iterable[HealthCheck], *, now: float) -> None:
        for check in checks:
            logged_at = self._red_logged_at.get(check.name)
            if check.ok:
                if self._red_logged_at.pop(check.name, None) is not None:
                    logger.info("check_green check=%s: %s", check.name, check.detail)
            elif logged_at is None or now - logged_at >= REMIND_SECONDS:
                self._red_logged_at[check.name] = now
                word = "check_red" if logged_at is None else "check_still_red"
                logger.warning("%s check=%s: %s; %s", word, check.name, check.detail, check.remedy)
