"""The actors of the control queue that move the backlog: assign and plan."""

from __future__ import annotations

import dramatiq

from jobs.actors.common import register
from jobs.parts import Parts
from jobs.planning.assigner import assign_page
from jobs.queues.control_requests import SLOT
from jobs.queues.names import CONTROL_QUEUE


def add(broker: dramatiq.Broker, parts: Parts) -> None:
    def plan(reason: str = "cron") -> None:
        """Assign what came in, plan where the plan is stale, dispatch what fits."""
        asked = parts.runtime.wakes.plan_started(reason)
        more = assign_page() if asked != SLOT else False
        parts.planner.run(asked)
        if more:
            parts.runtime.wakes.plan("insert")

    register(broker, parts, "plan", CONTROL_QUEUE, plan)
