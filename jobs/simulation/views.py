"""What the policies may see of a simulated system: means and states, never a true time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from statistics import fmean

from jobs.policy.interactive import Demand
from jobs.policy.types import (
    LEAST_OF_A_KIND,
    BackendView,
    BlockKey,
    FurtherTasks,
    ModelView,
    PlanningConfig,
    PolicyName,
    RunningTask,
    Snapshot,
    TaskView,
)
from jobs.simulation.board import Board
from jobs.simulation.server import VirtualServer
from jobs.simulation.workload import Pair, VirtualTask, Workload

LEAST_REMAINING_PART = 0.3
"""A task that outlived its mean is thought to need this part of it still."""
_PLAIN_REACH = 64


class Views:
    """Builds snapshots. Tasks are converted once; equal choices share one frozen set."""

    def __init__(
        self,
        workload: Workload,
        servers: Mapping[str, VirtualServer],
        config: PlanningConfig,
        epoch: datetime,
    ) -> None:
        self.reach = config.batch_size if config.policy is PolicyName.SEED else _PLAIN_REACH
        self.demands: Mapping[str, Demand] = {}
        self._reserved = workload.interactive_reserved
        self._servers = servers
        self._config = config
        self._epoch = epoch
        self._means = {m.pair: m.mean_service_seconds for m in workload.models}
        variations = _variations(workload)
        self._models = tuple(
            ModelView(
                m.backend,
                m.model,
                heavy=m.heavy,
                load_seconds=m.load_seconds,
                service_seconds=m.mean_service_seconds,
                service_by_category=m.mean_by_category,
                service_variation=variations[m.pair],
                rank=rank,
            )
            for rank, m in enumerate(workload.models)
        )
        places: dict[frozenset[tuple[str, str]], frozenset[tuple[str, str]]] = {}
        self._tasks = {task.id: self._view(task, places) for task in workload.tasks}

    def snapshot(self, now: float, waiting: Iterable[VirtualTask], board: Board) -> Snapshot:
        tasks, beyond = _window([self._tasks[task.id] for task in waiting], self._config.window)
        return Snapshot(
            now=self._epoch + timedelta(seconds=now),
            tasks=tuple(tasks),
            backends=self.backends(board),
            models=self._models,
            running=self._running(now, board),
            beyond=tuple(beyond),
            config=self._config,
        )

    def backends(self, board: Board) -> tuple[BackendView, ...]:
        """As the planner sees them; ``demands`` are what people want now."""
        return tuple(
            BackendView(
                name=name,
                kind=server.profile.kind,
                slots=self._slots_for_tasks(server),
                in_flight=board.in_flight(name),
                resident=server.resident,
                max_resident=server.profile.resident_models,
                heavy_limit=server.profile.heavy_limit or server.profile.slots,
                current=board.current.get(name),
                unavailable=None if server.up else "the server is down",
                loading=() if server.loading is None else (server.loading.model,),
                interactive=self._wanted(name),
                prompt_slots=server.profile.slots if server.profile.prompt_slots else None,
            )
            for name, server in self._servers.items()
        )

    def _slots_for_tasks(self, server: VirtualServer) -> int:
        slots = server.profile.slots
        reserved = self._reserved if server.profile.name in self.demands else 0
        return max(min(1, slots), slots - reserved)

    def _wanted(self, backend: str) -> BlockKey | None:
        demand = self.demands.get(backend)
        return BlockKey(backend, demand.model) if demand is not None else None

    def _view(
        self,
        task: VirtualTask,
        places: dict[frozenset[tuple[str, str]], frozenset[tuple[str, str]]],
    ) -> TaskView:
        only = frozenset(task.service_seconds)
        return TaskView(
            id=task.id,
            created_at=self._epoch + timedelta(seconds=task.arrival_seconds),
            priority=task.priority,
            category=task.category,
            complexity=task.complexity,
            bug_probability=task.bug_probability,
            prefix=tuple(name for name, _ in task.prefix),
            only=places.setdefault(only, only),
        )

    def _running(self, now: float, board: Board) -> tuple[RunningTask, ...]:
        running = []
        for flight in board.flights.values():
            mean = self._means[flight.key.backend, flight.key.model]
            elapsed = 0.0 if flight.started_at is None else now - flight.started_at
            left = max(mean - elapsed, LEAST_REMAINING_PART * mean)
            running.append(RunningTask(flight.task_id, flight.key, left))
        return tuple(running)


def _variations(workload: Workload) -> dict[Pair, float]:
    """By model, the standard deviation of its true times about the mean, as a part of the mean."""
    squares: dict[Pair, list[float]] = {m.pair: [] for m in workload.models}
    means = {m.pair: m.mean_service_seconds for m in workload.models}
    for task in workload.tasks:
        for pair, seconds in task.service_seconds.items():
            squares[pair].append((seconds / means[pair] - 1.0) ** 2)
    return {pair: math.sqrt(fmean(found)) if found else 0.5 for pair, found in squares.items()}


def _window(tasks: list[TaskView], size: int) -> tuple[list[TaskView], list[FurtherTasks]]:
    """The first tasks of every kind in proportion; how many more of the kind there are."""
    if len(tasks) <= size:
        return tasks, []
    kinds: dict[tuple[object, ...], list[TaskView]] = {}
    for task in tasks:
        kinds.setdefault((id(task.only), task.category, task.complexity), []).append(task)
    share = size / len(tasks)
    chosen, beyond = [], []
    for kind in kinds.values():
        kind.sort(key=lambda task: (-task.priority.rank, task.created_at, task.id))
        count = min(len(kind), max(LEAST_OF_A_KIND, int(len(kind) * share)))
        chosen.extend(kind[:count])
        if count < len(kind):
            beyond.append(FurtherTasks(kind[0].id, len(kind) - count))
    return chosen, beyond
