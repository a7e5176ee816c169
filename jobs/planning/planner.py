"""One planning cycle: read the state, plan where the plan is stale, dispatch what fits.

One planner at a time in the whole system (an advisory lock). The plan lives in ``kos_blocks``; rows
stay ``pending`` until they are dispatched, so the latest choice is always the best informed one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from jobs.planning.current_state import CurrentState, StateReader, open_blocks
from jobs.planning.dispatcher import Dispatcher
from jobs.planning.learned_figures import LearnedFigures
from jobs.planning.plan_log import PlanLog
from jobs.planning.snapshots import snapshot
from jobs.policy.plan import plan, plan_again_after
from jobs.policy.plan_building.choices import why_closed
from jobs.policy.types import (
    LEAST_OF_A_KIND,
    Plan,
    PlannedBlock,
    PolicyName,
    Snapshot,
    TaskRoute,
    Unplaced,
)
from jobs.process.clock import utc_now
from jobs.queues.control_requests import DISPATCH_ONLY, LOOK_AGAIN
from jobs.settings.load import Settings
from models import backlog, block, counts
from models.backlog import NOTHING_UNSERVABLE, Unservable
from models.block import BlockRoute, NewBlock
from models.database import session
from models.locks import locked
from models.task import Task

LOCK_KEY = 0x6B6F73_02
LOCK_WAIT_SECONDS = 6.0
"""Shorter than the statement timeout, so that a held lock does not look like an outage of
Postgres."""
REPLAN_SECONDS = 1.0
"""New rows wait for the plan to be this old while every lane is busy."""
IDLE_REPLAN_SECONDS = 0.25
"""A lane that the plan left idle does not cause a plan more often than this."""
POSTPONE_SECONDS = 10.0
"""A row that no server can take is planned again after this."""
MAX_CYCLES = 20
FOLD_SECONDS = 1.0
"""What changed in the counts of tasks is folded into them this often."""


class Planner:
    """Owned by a control process; ``run`` may be called from any of its threads."""

    def __init__(
        self,
        settings: Settings,
        *,
        state: StateReader,
        figures: LearnedFigures,
        dispatcher: Dispatcher,
        log: PlanLog,
    ) -> None:
        self._settings = settings
        self._state = state
        self._figures = figures
        self._dispatcher = dispatcher
        self._log = log
        self._planned_at = float("-inf")
        self._folded_at = float("-inf")
        self._sent_since_plan = 0
        self._rows_changed = True
        self._is_window_full = False
        self.is_fed = False
        """Whether tasks run, no server lacks any, and the last plan found more than it reads."""

    def run(self, reason: str, *, replan: bool = False) -> int:
        """One cycle; how many tasks were dispatched."""
        if reason in LOOK_AGAIN:
            self._state.look_again()
        # Before the lock: a first scan asks the servers, and other planners would wait for that.
        scan = self._state.scan()
        with session(), locked(LOCK_KEY, wait_seconds=LOCK_WAIT_SECONDS) as renew_lock:
            dispatched = 0
            for again in range(MAX_CYCLES):
                if again:
                    # Postgres ends an idle transaction, and with it the lock.
                    renew_lock()
                state = self._state.read(scan)
                must = replan or _has_closed_block(state)
                if (must or self._is_stale(state, reason)) and self._plan(state, reason, must):
                    state = replace(state, blocks=open_blocks())
                # Once: a second plan in this loop would replace the new one.
                replan = False
                wanted, sent = self._dispatcher.dispatch(state)
                self._sent_since_plan += sent
                dispatched += sent
                # Fewer than wanted: some planned rows have changed, so dispatch again.
                if sent == wanted:
                    break
            self.is_fed = (
                self._is_window_full and bool(state.in_flight) and not self._has_idle_lane(state)
            )
            # Here, because the planner runs whenever tasks change, and one at a time.
            self._fold_counts()
            self._log.completed(utc_now(), at_end=_is_drained(state, dispatched))
        self._log.cycle_ended()
        return dispatched

    def _fold_counts(self) -> None:
        if time.monotonic() - self._folded_at >= FOLD_SECONDS:
            self._folded_at = time.monotonic()
            counts.fold()

    def _is_stale(self, state: CurrentState, reason: str) -> bool:
        """Whether rows changed, a lane would idle, or enough was sent to balance anew.

        While every lane is busy, changed rows wait for the plan to be a second old. A lane that the
        plan itself left idle does not cause a plan at every freed slot.
        """
        self._rows_changed = self._rows_changed or reason not in DISPATCH_ONLY
        age_seconds = time.monotonic() - self._planned_at
        rested = age_seconds >= REPLAN_SECONDS
        idle = self._has_idle_lane(state) and (
            self._rows_changed or age_seconds >= IDLE_REPLAN_SECONDS
        )
        remaining = sum(block.remaining for block in state.blocks)
        due = remaining > 0 and self._sent_since_plan >= plan_again_after(remaining)
        # An idle server loses time at once, a better order only later: so only the second waits.
        return idle or (rested and (self._rows_changed or due))

    def _has_idle_lane(self, state: CurrentState) -> bool:
        """Whether a server has room and nothing planned to send there."""
        ahead = self._settings.dispatch_ahead
        if sum(view.in_flight for view in state.backends) >= state.total + ahead:
            return False
        served = {block.key.backend for block in state.blocks if block.remaining > 0}
        return any(
            view.unavailable is None
            and view.in_flight < view.slots + ahead
            and view.name not in served
            for view in state.backends
        )

    def _plan(self, state: CurrentState, reason: str, must: bool) -> bool:
        """Whether there is a new plan: none without servers, nor without rows unless it ``must``
        be."""
        # A plan without servers would park every row with a reason that is wrong in a minute.
        if all(view.unavailable is not None for view in state.backends):
            return False
        seen = window_snapshot(
            self._settings,
            self._state,
            self._figures,
            state,
            unservable=self._state.unservable(state),
        )
        self._is_window_full = len(seen.tasks) >= self._settings.plan_window
        if not seen.tasks and not must:
            return False
        began = time.monotonic()
        planned = plan(seen)
        seconds = time.monotonic() - began
        self._planned_at, self._sent_since_plan = time.monotonic(), 0
        self._rows_changed = False
        block.replace_plan(_new_blocks(planned), policy=planned.policy.value)
        _park(planned.unplaced, until=seen.now + timedelta(seconds=POSTPONE_SECONDS))
        self._log.record(reason, seen, planned, seconds=seconds)
        return True


def _has_closed_block(state: CurrentState) -> bool:
    """Whether tasks are planned for a server or a model that takes none now."""
    views = {view.name: view for view in state.backends}
    return any(
        block.remaining > 0
        and why_closed(views.get(block.key.backend), block.key.model) is not None
        for block in state.blocks
    )


def _is_drained(state: CurrentState, dispatched: int) -> bool:
    remaining = sum(block.remaining for block in state.blocks)
    return not state.in_flight and not remaining and not dispatched


def preview(
    settings: Settings,
    state: StateReader,
    figures: LearnedFigures,
    *,
    policy: PolicyName | None = None,
) -> tuple[Snapshot, Plan]:
    """What would be planned now; nothing is written. Needs a session.

    It includes unservable rows, so that their reasons appear.
    """
    current = state.read(state.scan())
    seen = window_snapshot(settings, state, figures, current, unservable=NOTHING_UNSERVABLE)
    if policy is not None:
        seen = replace(seen, config=replace(seen.config, policy=policy))
    return seen, plan(seen)


def window_snapshot(
    settings: Settings,
    reader: StateReader,
    figures: LearnedFigures,
    state: CurrentState,
    *,
    unservable: Unservable,
) -> Snapshot:
    """``state`` with the window of rows that a plan chooses from. Needs a session."""
    window, waiting = backlog.window_of_all_kinds(
        settings.plan_window, least=LEAST_OF_A_KIND, unservable=unservable
    )
    return snapshot(
        settings,
        figures,
        now=utc_now(),
        scan=state.scan,
        models=reader.models(state.scan),
        backends=state.backends,
        in_flight=state.in_flight,
        window=window,
        waiting=waiting,
    )


def _new_blocks(planned: Plan) -> list[NewBlock]:
    # Thousands of tasks share a few routes; writing each route once keeps the block small.
    route_of = {
        task_id: number for number, route in enumerate(planned.routes) for task_id in route.task_ids
    }

    def explained(one: PlannedBlock) -> tuple[tuple[BlockRoute, ...], tuple[int, ...]]:
        """The routes of a block, and the place among them of each of its tasks."""
        used = {route_of[task_id]: None for task_id in one.task_ids}
        place = {number: index for index, number in enumerate(used)}
        routes = tuple(_block_route(planned.routes[number]) for number in used)
        return routes, tuple(place[route_of[task_id]] for task_id in one.task_ids)

    return [
        NewBlock(
            backend=one.key.backend,
            model=one.key.model,
            num_ctx=one.key.num_ctx,
            heavy=one.heavy,
            task_ids=one.task_ids,
            reason=one.reason,
            routes=routes,
            route_of=places,
            urgent=one.urgent,
            needs_load=one.needs_load,
            expected_load_seconds=one.expected_load_seconds,
            expected_start_seconds=one.expected_start_seconds,
            expected_finish_seconds=one.expected_finish_seconds,
            drains=one.drains,
            task_seconds=one.task_seconds,
            task_variation=one.task_variation,
            slots=one.slots,
            groups=one.groups,
        )
        for one in planned.blocks
        for routes, places in (explained(one),)
    ]


def _block_route(route: TaskRoute) -> BlockRoute:
    rejected = [{"option": other.option, "reason": other.reason} for other in route.rejected]
    return BlockRoute(route.reason, rejected)


def _park(unplaced: Sequence[Unplaced], *, until: datetime) -> None:
    """Postpone rows that no server can take, in one statement for each reason."""
    by_reason: dict[str, list[str]] = {}
    for parked in unplaced:
        by_reason.setdefault(parked.reason, []).append(parked.task_id)
    for reason, task_ids in by_reason.items():
        Task.postpone(task_ids, at=until, reason=reason)
