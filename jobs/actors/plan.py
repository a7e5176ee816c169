"""The actors of the control queue that move the backlog: assign and plan."""

from __future__ import annotations

import dramatiq

from jobs.actors.common import register
from jobs.assigner import assign_page
from jobs.names import CONTROL_QUEUE
from jobs.parts import Parts


def add(broker: dramatiq.Broker, parts: Parts) -> None:
    def plan(reason: str = "cron") -> None:
        """Assign what came in, plan where the plan is stale, dispatch what fits."""
        parts.runtime.wakes.plan_started()
        more = assign_page() if reason != "slot" else False
        parts.planner.run(reason)
        if more:
            parts.runtime.wakes.plan("insert")

    register(broker, parts, "plan", CONTROL_QUEUE, plan)
