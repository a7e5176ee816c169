"""What the log says of a round: what turned red or green, and again what stays red."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from jobs.upkeep.health.checks import Check

logger = logging.getLogger(__name__)

REMIND_SECONDS = 300.0


class Teller:
    """Remembers what it told. Times are in seconds of any clock that only goes on."""

    def __init__(self) -> None:
        self._red_told_at: dict[str, float] = {}

    def tell(self, checks: Iterable[Check], *, now: float) -> None:
        for check in checks:
            told_at = self._red_told_at.get(check.name)
            if check.ok:
                if self._red_told_at.pop(check.name, None) is not None:
                    logger.info("check_green check=%s: %s", check.name, check.detail)
            elif told_at is None or now - told_at >= REMIND_SECONDS:
                self._red_told_at[check.name] = now
                word = "check_red" if told_at is None else "check_still_red"
                logger.warning("%s check=%s: %s; %s", word, check.name, check.detail, check.remedy)
