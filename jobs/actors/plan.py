"""The actor that moves the backlog: assign, plan, dispatch."""

from __future__ import annotations

import dramatiq

from jobs.actors.common import register
from jobs.planning.assigner import Assigner
from jobs.planning.planner import Planner
from jobs.planning.roster import Roster
from jobs.queues.control_requests import DISPATCH_ONLY, ControlRequests
from jobs.queues.names import CONTROL_QUEUE


def add(broker: dramatiq.Broker, planner: Planner, requests: ControlRequests) -> None:
    assigner = Assigner(Roster())

    def plan(reason: str = "cron") -> None:
        """Assign what came in, plan where the plan is stale, dispatch what fits."""
        strongest = requests.plan_started(reason)
        if strongest not in DISPATCH_ONLY:
            assigner.assign_new(fed=planner.is_fed)
        planner.run(strongest)
        if assigner.go_on(fed=planner.is_fed):
            requests.plan("insert")

    register(broker, requests, "plan", CONTROL_QUEUE, plan)
