"""The check of the backlog: red if it could progress and does not, or if no backend takes it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from jobs.planning.current_state import CurrentState, StateReader
from jobs.planning.plan_log import PlanLog
from jobs.policy.standstill import STANDSTILL_SECONDS, Flow, could_move, standstill
from jobs.process.clock import utc_now
from jobs.upkeep.health.checks import HealthCheck
from models import backlog, task_figures, webhook
from models.database import session

NOWHERE_TO_GO = 4
"""Multiple of the fairness bound that a task may wait while no backend takes work."""


@dataclass(slots=True)
class BacklogWatch:
    """Remembers since when the backlog could progress. One instance, one thread."""

    state: StateReader
    log: PlanLog
    fairness_seconds: float
    could_move_since: float | None = None
    stuck_since: datetime | None = None

    def check(self) -> HealthCheck:
        """The check's result. Raises DatabaseUnavailable or RedisError where it cannot be
        measured."""
        check = self._check()
        self.stuck_since = None if check.ok else self.stuck_since or utc_now()
        if self.stuck_since is not None:
            with session():
                webhook.backlog_is_stuck(since=self.stuck_since.isoformat(), problem=check.detail)
        return check

    def _check(self) -> HealthCheck:
        scan = self.state.scan()
        with session():
            current = self.state.read(scan)
            flow = self._flow(current)
            oldest = task_figures.oldest_untried_seconds() if flow.waiting else None
        age = oldest or 0.0
        waited = f"{age:.0f} s" if age < 120 else f"{age / 60:.0f} min"
        detail = "none is assigned" if flow.waiting else "nothing waits that could start now"
        if oldest:
            detail = f"oldest waiting task: {waited}"
        fault = standstill(flow, could_move_seconds=self._could_move_seconds(flow))
        if fault is not None:
            return HealthCheck(
                "backlog", False, f"{fault}; {detail}", "see `kos plan` and `kos logs`"
            )
        available = any(view.unavailable is None for view in current.backends)
        late = age > self.fairness_seconds * NOWHERE_TO_GO and not available
        remedy = "no backend takes work: see `kos backends`" if late else ""
        return HealthCheck("backlog", not late, detail, remedy)

    def seconds_to_verdict(self) -> float:
        """Seconds until a backlog that could progress counts as late; infinite where none could, or
        where it is late already."""
        if self.could_move_since is None:
            return float("inf")
        left = self.could_move_since + STANDSTILL_SECONDS - time.monotonic()
        return left if left > 0 else float("inf")

    def _flow(self, current: CurrentState) -> Flow:
        open_lanes = [
            view
            for view in current.backends
            # While people use a model, tasks of other models wait for them.
            if view.unavailable is None and view.interactive is None
        ]
        in_flight = len(current.in_flight)
        free = sum(max(0, view.slots - view.in_flight) for view in open_lanes)
        unservable = self.state.unservable(current)
        since_move, since_dispatch = task_figures.since_last_moves()
        return Flow(
            waiting=backlog.anything_eligible(unservable=unservable) or bool(backlog.unassigned(1)),
            free_slots=min(free, max(0, current.total - in_flight)),
            in_flight=in_flight,
            since_move_seconds=since_move,
            since_dispatch_seconds=since_dispatch,
            since_cycle_seconds=self.log.since_cycle_seconds(),
        )

    def _could_move_seconds(self, flow: Flow) -> float:
        now = time.monotonic()
        if not could_move(flow):
            self.could_move_since = None
            return 0.0
        if self.could_move_since is None:
            self.could_move_since = now
        return now - self.could_move_since
