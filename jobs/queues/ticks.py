"""Drops the ticks of the schedule that come too late: the next one is due."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from dramatiq import Broker
from dramatiq.middleware import SkipMessage
from periodiq import PeriodiqMiddleware

from jobs.process.clock import utc_now

logger = logging.getLogger(__name__)

VALID_SECONDS = 50


class DropLateTicks(PeriodiqMiddleware):  # type: ignore[misc]
    """In the place of periodiq's own, which compares the clocks of two hosts."""

    def before_process_message(self, broker: Broker, message: Any) -> None:
        sent = message.options.get("scheduled_at")
        if sent is None:
            return
        age = utc_now() - datetime.fromisoformat(sent)
        if age.total_seconds() > VALID_SECONDS:
            logger.info("tick_too_late actor=%s at=%s", message.actor_name, sent)
            raise SkipMessage
