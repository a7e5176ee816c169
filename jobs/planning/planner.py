"""From the backlog to messages: look, plan where the plan is stale, dispatch what fits.

One planner at a time in the whole system (an advisory lock). The plan lives in ``kos_blocks``; rows
stay ``pending`` until they are dispatched, so the latest choice is always the best informed one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import dramatiq

from jobs.admission.middleware import RUN_TASK
from jobs.admission.residency import Residency
from jobs.planning.learned_figures import LearnedFigures
from jobs.planning.plan_log import PlanLog
from jobs.planning.snapshots import backend_views, planning_config, snapshot, usable_models
from jobs.policy.dispatch import dispatch
from jobs.policy.plan import plan, plan_again_after
from jobs.policy.planners.choices import unservable
from jobs.policy.types import (
    LEAST_OF_A_KIND,
    BackendView,
    BlockKey,
    DispatchOrder,
    OpenBlock,
    Plan,
    PlannedBlock,
    PolicyName,
    PreloadOrder,
    Snapshot,
    Unplaced,
)
from jobs.process.clock import utc_now
from jobs.process.tracing import span
from jobs.queues.control_requests import SLOT
from jobs.queues.names import PLANNER, llm_queue
from jobs.runtime import Runtime
from llm.types import Scan
from models import backlog, block, decision
from models.backlog import NOTHING_UNSERVABLE, Unservable
from models.base import Row
from models.block import NewBlock
from models.database import database, session
from models.decision import NewDecision
from models.task import Task

LOCK_KEY = 0x6B6F73_02
REPLAN_SECONDS = 1.0
IDLE_REPLAN_SECONDS = 0.25
POSTPONE_SECONDS = 10.0
MAX_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Look:
    """The state that one round works on. ``total`` tasks may run at all backends together."""

    scan: Scan
    in_flight: Sequence[Row]
    blocks: Sequence[Row]
    backends: tuple[BackendView, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Sent:
    """A row that became ``queued`` and whose message is still to be sent."""

    task_id: str
    epoch: int
    key: BlockKey
    heavy: bool


class Planner:
    """Owned by a control process; ``run`` may be called from any of its threads."""

    def __init__(self, runtime: Runtime, learning: LearnedFigures, residency: Residency) -> None:
        self._runtime = runtime
        self._learning = learning
        self._residency = residency
        self._log = PlanLog()
        self._planned_at = float("-inf")
        self._sent = 0
        self._sent_at: dict[str, float] = {}
        self._news = True

    def run(self, reason: str, *, replan: bool = False) -> int:
        """One round; how many tasks were dispatched."""
        scan = self._runtime.scanner.last() or self._runtime.scanner.scan()
        with session(), _only_planner():
            dispatched = 0
            for _ in range(MAX_ROUNDS):
                look = self._look(scan)
                if replan or self._is_stale(look, reason):
                    self._plan(look, reason)
                    look = self._look(scan)
                replan = False
                wanted, sent = self._dispatch(look)
                dispatched += sent
                if sent == wanted:
                    break
        return dispatched

    def preview(self, policy: PolicyName | None = None) -> tuple[Snapshot, Plan]:
        """What would be planned now; nothing is written. Needs a session."""
        look = self._look(self._runtime.scanner.last() or self._runtime.scanner.scan())
        # What is asked for in vain is told as well.
        given = self._snapshot(look, NOTHING_UNSERVABLE)
        if policy is not None:
            given = replace(given, config=replace(given.config, policy=policy))
        return given, plan(given)

    def _look(self, scan: Scan) -> Look:
        in_flight, blocks = backlog.in_flight(), block.open_blocks()
        views = backend_views(self._runtime, scan, in_flight, blocks)
        return Look(
            scan,
            in_flight,
            blocks,
            tuple(self._with_residents(view) for view in views),
            self._runtime.limits.total.slots,
        )

    def _barred(self, look: Look) -> Unservable:
        """Rows that ask for this are left out of the plan, and are in it again as soon as what they
        ask for can be had."""
        usable = usable_models(self._runtime, look.scan)
        models = [(backend, model.name) for backend, _, model in usable]
        return Unservable(*unservable(look.backends, models))

    def _with_residents(self, view: BackendView) -> BackendView:
        seen = self._residency.seen(view.name)
        spec = self._runtime.settings.backend(view.name)
        resident = view.resident if seen is None else seen
        asked = spec.max_resident_models if spec else None
        loading = self._residency.announced(view.name)
        return replace(
            view,
            resident=resident,
            max_resident=asked or max(1, len(resident)),
            loading=(loading,) if loading else (),
        )

    def _is_stale(self, look: Look, reason: str) -> bool:
        """Whether news came, a lane would idle, or enough was sent to balance anew.

        News that finds every lane busy waits for the plan to be a second old. A lane that the
        plan itself left idle is no reason to plan at every freed slot.
        """
        self._news = self._news or reason != SLOT
        age_seconds = time.monotonic() - self._planned_at
        rested = age_seconds >= REPLAN_SECONDS
        idle = self._idle_lane(look) and (self._news or age_seconds >= IDLE_REPLAN_SECONDS)
        remaining = sum(row["remaining"] for row in look.blocks)
        due = remaining > 0 and self._sent >= plan_again_after(remaining)
        stale = idle or (rested and (self._news or due))
        return stale and backlog.anything_eligible(unservable=self._barred(look))

    def _idle_lane(self, look: Look) -> bool:
        """Whether a server has room and nothing planned to send there."""
        if sum(view.in_flight for view in look.backends) >= look.total + self._dispatch_ahead:
            return False
        served = {row["backend"] for row in look.blocks if row["remaining"] > 0}
        return any(
            view.unavailable is None
            and view.in_flight < view.slots + self._dispatch_ahead
            and view.name not in served
            for view in look.backends
        )

    def _plan(self, look: Look, reason: str) -> None:
        if all(view.unavailable is not None for view in look.backends):
            return
        given = self._snapshot(look, self._barred(look))
        began = time.monotonic()
        made = plan(given)
        self._note_time(time.monotonic() - began)
        self._planned_at, self._sent, self._news = time.monotonic(), 0, False
        with database.atomic():
            block.replace_plan(_new_blocks(made), policy=made.policy.value)
            _park(made.unplaced, until=given.now + timedelta(seconds=POSTPONE_SECONDS))
        self._log.tell(reason, given, made)

    def _note_time(self, seconds: float) -> None:
        """How often and how long was planned: what the metrics show."""
        with self._runtime.redis.pipeline(transaction=False) as pipe:
            pipe.hincrby(PLANNER, "plans", 1)
            pipe.hincrbyfloat(PLANNER, "seconds", seconds)
            pipe.execute()

    def _snapshot(self, look: Look, unservable: Unservable) -> Snapshot:
        window, waiting = backlog.window_of_all_kinds(
            self._runtime.settings.plan_window, least=LEAST_OF_A_KIND, unservable=unservable
        )
        return snapshot(
            self._runtime,
            now=utc_now(),
            scan=look.scan,
            window=window,
            waiting=waiting,
            in_flight=look.in_flight,
            backends=look.backends,
            learning=self._learning,
        )

    def _dispatch(self, look: Look) -> tuple[int, int]:
        """Tasks that were to be sent, and those that still could be."""
        decided = dispatch(
            sorted(look.backends, key=lambda view: self._sent_at.get(view.name, 0.0)),
            [_open_block(row) for row in look.blocks],
            dispatch_ahead=self._dispatch_ahead,
            config=planning_config(self._runtime.settings, look.scan),
            total=look.total,
        )
        heavy = {row["id"]: row["heavy"] for row in look.blocks}
        sent: list[Sent] = []
        for order in decided.orders:
            self._sent_at[order.key.backend] = time.monotonic()
            sent += self._queue(order, heavy=heavy[order.block_id])
        self._send(sent, decided.preloads)
        self._sent += len(sent)
        return sum(order.count for order in decided.orders), len(sent)

    def _queue(self, order: DispatchOrder, *, heavy: bool) -> list[Sent]:
        """Rows and reasons in one transaction; a crash after it is mended by recovery."""
        with database.atomic():
            ids, routes = block.take_next(order.block_id, order.count)
            queued = Task.queue(
                ids, block_id=order.block_id, backend=order.key.backend, model=order.key.model
            )
            chosen = f"{order.key.backend}/{order.key.model}"
            decision.record(
                [
                    line
                    for task_id, _ in queued
                    for line in _why(task_id, chosen, routes.get(task_id, {}), order.reason)
                ]
            )
        return [Sent(task_id, epoch, order.key, heavy) for task_id, epoch in queued]

    def _send(self, sent: Sequence[Sent], preloads: Sequence[PreloadOrder]) -> None:
        for order in preloads:
            self._residency.announce(order.backend, order.model)
            self._enqueue("preload", order.backend, model=order.model, num_ctx=order.num_ctx)
        for one in sent:
            with span("dispatch", one.task_id, backend=one.key.backend, model=one.key.model):
                self._enqueue(
                    RUN_TASK,
                    one.key.backend,
                    task_id=one.task_id,
                    epoch=one.epoch,
                    model=one.key.model,
                    num_ctx=one.key.num_ctx,
                    heavy=one.heavy,
                )

    def _enqueue(self, actor: str, backend: str, **kwargs: object) -> None:
        message: dramatiq.Message[None] = dramatiq.Message(
            queue_name=llm_queue(backend),
            actor_name=actor,
            args=(),
            kwargs={"backend": backend, **kwargs},
            options={},
        )
        self._runtime.broker.enqueue(message)

    @property
    def _dispatch_ahead(self) -> int:
        return self._runtime.settings.dispatch_ahead


@contextmanager
def _only_planner() -> Iterator[None]:
    database.execute_sql("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
    try:
        yield
    finally:
        database.execute_sql("SELECT pg_advisory_unlock(%s)", (LOCK_KEY,))


def _new_blocks(made: Plan) -> list[NewBlock]:
    routes = {route.task_id: route for route in made.routes}

    def explained(planned: PlannedBlock) -> dict[str, object]:
        return {
            task_id: {
                "reason": routes[task_id].reason,
                "rejected": [
                    {"option": other.option, "reason": other.reason}
                    for other in routes[task_id].rejected
                ],
            }
            for task_id in planned.task_ids
            if task_id in routes
        }

    return [
        NewBlock(
            backend=planned.key.backend,
            model=planned.key.model,
            num_ctx=planned.key.num_ctx,
            heavy=planned.heavy,
            task_ids=planned.task_ids,
            reason=planned.reason,
            routes=explained(planned),
            urgent=planned.urgent,
            needs_load=planned.needs_load,
            expected_load_seconds=planned.expected_load_seconds,
            expected_start_seconds=planned.expected_start_seconds,
            expected_finish_seconds=planned.expected_finish_seconds,
        )
        for planned in made.blocks
    ]


def _park(unplaced: Sequence[Unplaced], *, until: datetime) -> None:
    """Rows with nowhere to go wait a while, one statement for each reason."""
    by_reason: dict[str, list[str]] = {}
    for parked in unplaced:
        by_reason.setdefault(parked.reason, []).append(parked.task_id)
    for reason, task_ids in by_reason.items():
        Task.postpone(task_ids, at=until, reason=reason)


def _open_block(row: Row) -> OpenBlock:
    return OpenBlock(
        block_id=row["id"],
        key=BlockKey(backend=row["backend"], model=row["model"], num_ctx=row["num_ctx"]),
        remaining=row["remaining"],
        in_flight=row["in_flight"],
        heavy=row["heavy"],
        urgent=row["urgent"],
    )


def _why(task_id: str, chosen: str, route: dict[str, object], sent: str) -> list[NewDecision]:
    rejected = route.get("rejected")
    return [
        NewDecision(
            task_id=task_id,
            stage="route",
            chosen=chosen,
            reason=str(route.get("reason", "part of its block")),
            rejected=rejected if isinstance(rejected, list) else [],
        ),
        NewDecision(task_id=task_id, stage="plan", chosen=chosen, reason=sent),
    ]
