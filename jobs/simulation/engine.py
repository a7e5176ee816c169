"""Runs a workload on a virtual clock through the very code that plans and dispatches for real."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum

from jobs.policy.dispatch import dispatch
from jobs.policy.forecast import Ahead
from jobs.policy.plan import plan, plan_again_after
from jobs.policy.types import Plan, PlanningConfig, PolicyName
from jobs.simulation.board import Board, ahead_of
from jobs.simulation.people import People
from jobs.simulation.result import ScheduledLoad, ScheduledTask
from jobs.simulation.server import Started, VirtualServer
from jobs.simulation.views import Views
from jobs.simulation.workload import Pair, VirtualRequest, VirtualTask, Workload
from models.states import Priority

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
DEBOUNCE_SECONDS = 5.0
CRON_SECONDS = 60.0


class _Kind(IntEnum):
    """Events of one moment are handled in this order."""

    FINISH = 0
    LOADED = 1
    DOWN = 2
    UP = 3
    ARRIVE = 4
    PLAN = 5
    CRON = 6
    LOOK = 7
    ASK = 8
    PEOPLE = 9


@dataclass(frozen=True, slots=True)
class SimulatedRun:
    """What happened: every finished task, every load, and the tasks that never ran.

    ``requests`` are those of people; ``interruptions`` counts tasks that gave way to them.
    """

    schedule: tuple[ScheduledTask, ...]
    loads: tuple[ScheduledLoad, ...]
    unfinished: tuple[str, ...]
    plans: int
    requests: tuple[ScheduledTask, ...] = ()
    interruptions: int = 0


Look = Callable[[float, Ahead, Board], None]
"""Gets the seconds since the start, what is still to be done, and the open blocks."""


def run(
    workload: Workload,
    config: PlanningConfig,
    *,
    dispatch_ahead: int = 0,
    looks: Sequence[float] = (),
    look: Look | None = None,
) -> SimulatedRun:
    """Simulate until nothing more can happen. Deterministic: no clock, no chance. ``look`` is
    called at the seconds ``looks``."""
    engine = _Engine(workload, config, dispatch_ahead, look=look)
    for seconds in looks:
        engine.look_at(seconds)
    return engine.run()


@dataclass(slots=True)
class _Engine:
    workload: Workload
    config: PlanningConfig
    dispatch_ahead: int
    look: Look | None = None
    now: float = 0.0
    events: list[tuple[float, int, int, str, object]] = field(default_factory=list)
    counter: itertools.count[int] = field(default_factory=itertools.count)
    tasks: dict[str, VirtualTask] = field(default_factory=dict)
    waiting: dict[str, VirtualTask] = field(default_factory=dict)
    servers: dict[str, VirtualServer] = field(default_factory=dict)
    board: Board = field(default_factory=Board)
    done: list[ScheduledTask] = field(default_factory=list)
    loads: list[ScheduledLoad] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    due: dict[str, float] = field(default_factory=dict)
    left: int = 0
    since_plan: int = 0
    planned_at: float = -math.inf
    plan_due: bool = False
    plan_asked: bool = False
    plans: int = 0
    people: People = field(init=False)
    answered: list[ScheduledTask] = field(default_factory=list)
    places: dict[str, Pair] = field(default_factory=dict)
    interruptions: int = 0
    changes: set[float] = field(default_factory=set)

    def look_at(self, seconds: float) -> None:
        self._at(seconds, _Kind.LOOK, "")

    def run(self) -> SimulatedRun:
        self._prepare()
        views = Views(self.workload, self.servers, self.config, EPOCH)
        while self.events and self.left:
            self.now = self.events[0][0]
            while self.events and self.events[0][0] <= self.now:
                _, kind, _, name, what = heapq.heappop(self.events)
                self._handle(_Kind(kind), name, what)
            self._act(views)
        finished = sorted(self.done, key=lambda entry: (entry.start_seconds, entry.task))
        ran = {entry.task for entry in finished}
        unfinished = tuple(task.id for task in self.workload.tasks if task.id not in ran)
        return SimulatedRun(
            tuple(finished),
            tuple(self.loads),
            unfinished,
            self.plans,
            tuple(self.answered),
            self.interruptions,
        )

    def _prepare(self) -> None:
        for backend in self.workload.backends:
            load_seconds = {
                m.model: m.load_seconds for m in self.workload.models if m.backend == backend.name
            }
            self.servers[backend.name] = VirtualServer(backend, load_seconds)
            for start, end in backend.outages:
                self._at(start, _Kind.DOWN, backend.name)
                if math.isfinite(end):
                    self._at(end, _Kind.UP, backend.name)
        for task in self.workload.tasks:
            self.tasks[task.id] = task
            self._at(task.arrival_seconds, _Kind.ARRIVE, task.id)
        self.people = People(self.workload, self.servers, EPOCH)
        for request in self.workload.interactive:
            self._at(request.arrival_seconds, _Kind.ASK, request.id)
        self.left = len(self.tasks) + len(self.people.requests)
        self._at(CRON_SECONDS, _Kind.CRON, "")

    def _at(self, seconds: float, kind: _Kind, name: str, what: object = None) -> None:
        heapq.heappush(self.events, (seconds, int(kind), next(self.counter), name, what))

    def _handle(self, kind: _Kind, name: str, what: object) -> None:
        if kind is _Kind.FINISH:
            self._finish(name, what)
        elif kind is _Kind.LOADED:
            self._loaded(name, what)
        elif kind is _Kind.DOWN:
            self._fail(name)
        elif kind is _Kind.UP:
            self.servers[name].recover()
            self.plan_due = True
        elif kind is _Kind.ARRIVE:
            self._arrive(self.tasks[name])
        elif kind is _Kind.LOOK:
            self._show()
        elif kind is _Kind.ASK:
            self._ask(self.people.requests[name])
        elif kind is _Kind.PLAN:
            self.plan_due, self.plan_asked = True, False
        elif kind is _Kind.CRON:
            self._cron()

    def _loaded(self, backend: str, what: object) -> None:
        if self.servers[backend].loading is what:
            self.servers[backend].loaded(self.now)

    def _show(self) -> None:
        if self.look is not None:
            seen = ahead_of(self.board, self.servers, self.due, self.now)
            self.look(self.now, seen, self.board)

    def _cron(self) -> None:
        self.plan_due = True
        if self.events:
            self._at(self.now + CRON_SECONDS, _Kind.CRON, "")

    def _finish(self, backend: str, what: object) -> None:
        server = self.servers[backend]
        if not isinstance(what, Started) or server.running.get(what.task_id) is not what:
            return
        server.finish(what.task_id, self.now)
        if what.task_id in self.places:
            self._answered(backend, what)
            return
        self.board.ended(what.task_id)
        backoffs = self.tasks[what.task_id].backoffs
        if self.failed[what.task_id] < len(backoffs):
            self.due[what.task_id] = self.now + backoffs[self.failed[what.task_id]]
            self.failed[what.task_id] += 1
            self._at(self.due[what.task_id], _Kind.ARRIVE, what.task_id)
            return
        self.done.append(
            ScheduledTask(what.task_id, backend, what.model, what.start_seconds, self.now)
        )
        self.left -= 1

    def _ask(self, request: VirtualRequest) -> None:
        """A person's request gets in line before all tasks of the server that suits it best."""
        backend, model = self.places[request.id] = self.people.arrive(request, self.now)
        self.servers[backend].send_first(request.id, model)

    def _answered(self, backend: str, what: Started) -> None:
        self.people.ended(self.places[what.task_id], self.now)
        self.answered.append(
            ScheduledTask(what.task_id, backend, what.model, what.start_seconds, self.now)
        )
        self.left -= 1

    def _give_way(self, views: Views) -> None:
        """Tasks make room for what people want now; the planner hears of every change."""
        demands = self.people.demands(self.now)
        for backend, demand in demands.items():
            models = self.people.interrupted(backend, demand, self.now)
            interrupted = self.servers[backend].interrupt(models)
            self.interruptions += len(interrupted)
            admitted = self.people.admitted(backend, demand)
            reclaimed = self.servers[backend].take_back(admitted) if admitted is not None else []
            self._return([*interrupted, *reclaimed])
        wanted = {backend: demand.model for backend, demand in demands.items()}
        if wanted != {backend: demand.model for backend, demand in views.demands.items()}:
            self.plan_due = True
        views.demands = demands

    def _return(self, task_ids: Iterable[str]) -> None:
        for task_id in task_ids:
            self.board.ended(task_id)
            self.waiting[task_id] = self.tasks[task_id]
            self.plan_due = True

    def _fail(self, backend: str) -> None:
        """What ran there returns; a load that had not ended never happened."""
        lost = self.servers[backend].fail()
        ids = [*(started.task_id for started in lost.running), *lost.queued]
        self._return(task_id for task_id in ids if task_id not in self.places)
        for request_id in self.places.keys() & ids:
            self.people.lost(request_id, self.places[request_id], now=self.now)
            self._at(self.now, _Kind.ASK, request_id)
        if lost.loading is not None:
            self.loads = [
                load
                for load in self.loads
                if (load.backend, load.start_seconds) != (backend, lost.loading.start_seconds)
            ]
        self.plan_due = True

    def _arrive(self, task: VirtualTask) -> None:
        """Urgent tasks and idle servers are planned for at once; others wait for company."""
        self.waiting[task.id] = task
        self.due.pop(task.id, None)
        if task.priority is Priority.URGENT or self._idle():
            self.plan_due = True
        elif not self.plan_asked and self._balances():
            self.plan_asked = True
            self._at(max(self.now, self.planned_at + DEBOUNCE_SECONDS), _Kind.PLAN, "")

    def _balances(self) -> bool:
        """A plain queue gains nothing from planning again while every lane has work."""
        return self.config.policy is PolicyName.RELOAD_AWARE

    def _idle(self) -> bool:
        """Some server has free slots and nothing to send."""
        return any(
            server.up and server.in_flight < server.profile.slots and not self.board.has_more(name)
            for name, server in self.servers.items()
        )

    def _act(self, views: Views) -> None:
        if self.people.requests:
            self._give_way(views)
        if self._balances() and self.since_plan >= plan_again_after(len(self.waiting)):
            self.plan_due = True
        if self.plan_due:
            self._plan(views)
        sent_before = self._dispatch(views)
        if self.waiting and self._lane_ran_dry(sent_before):
            self._plan(views)
            self._dispatch(views)
        self._advance(self.servers.values())
        change = self.people.next_change(self.now) if self.people.requests else None
        if change is not None and change not in self.changes:
            self.changes.add(change)
            self._at(change, _Kind.PEOPLE, "")

    def _lane_ran_dry(self, sent: set[str]) -> bool:
        """A server took the last task of its lane: what else could it do?"""
        return self.now > self.planned_at and any(not self.board.has_more(name) for name in sent)

    def _plan(self, views: Views) -> None:
        self.plan_due, self.since_plan, self.planned_at = False, 0, self.now
        if not self.waiting:
            return
        self.plans += 1
        new_plan: Plan = plan(views.snapshot(self.now, self.waiting.values(), self.board))
        self.board.replace(new_plan)

    def _dispatch(self, views: Views) -> set[str]:
        decision = dispatch(
            views.backends(self.board),
            self.board.open_blocks(views.reach),
            dispatch_ahead=self.dispatch_ahead,
            config=self.config,
        )
        sent = set()
        for order in decision.orders:
            for task_id in self.board.send(order):
                del self.waiting[task_id]
                self.servers[order.key.backend].send(task_id, order.key.model)
                self.since_plan += 1
            sent.add(order.key.backend)
        for preload in decision.preloads:
            self.servers[preload.backend].preload(preload.model)
        return sent

    def _advance(self, servers: Iterable[VirtualServer]) -> None:
        for server in servers:
            started, load = server.advance(self.now)
            name = server.profile.name
            for begun in started:
                if begun.task_id in self.places:
                    self.people.started(begun.task_id, (name, begun.model))
                    work = self.people.requests[begun.task_id].service_seconds
                else:
                    self.board.started(begun.task_id, self.now)
                    work = self.tasks[begun.task_id].service_seconds
                seconds = work[name, begun.model]
                self._at(self.now + seconds, _Kind.FINISH, name, begun)
            if load is not None:
                self._at(load.ready_seconds, _Kind.LOADED, name, load)
                self.loads.append(
                    ScheduledLoad(
                        name, load.model, load.start_seconds, load.ready_seconds, load.evicted
                    )
                )
