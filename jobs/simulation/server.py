"""A virtual model server.

A task starts only when its model is resident and a slot is free. Loading takes its seconds; beyond
the resident limit an idle model is evicted first, and where none is idle one is drained. Other
resident models keep serving meanwhile. One load runs at a time. Requests wait in line: while the
first waits for a drain nothing passes it (servers keep one pending request), and once its load has
begun those whose models are resident may.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from jobs.simulation.workload import VirtualBackend


@dataclass(frozen=True, slots=True)
class Started:
    task_id: str
    model: str
    start_seconds: float


@dataclass(frozen=True, slots=True)
class LoadBegun:
    """``evicted`` is the model that made room, if any."""

    model: str
    start_seconds: float
    ready_seconds: float
    evicted: str | None


@dataclass(frozen=True, slots=True)
class Lost:
    """What an outage took: tasks that ran or waited, and the load that was on."""

    running: tuple[Started, ...]
    queued: tuple[str, ...]
    loading: LoadBegun | None


class VirtualServer:
    """Holds no clock: the engine passes the time and gets back what began."""

    def __init__(self, profile: VirtualBackend, load_seconds: Mapping[str, float]) -> None:
        self.profile = profile
        self.up = True
        self.running: dict[str, Started] = {}
        self.queue: deque[tuple[str, str]] = deque()
        self.loading: LoadBegun | None = None
        self._load_seconds = load_seconds
        self._used_at: dict[str, float] = dict.fromkeys(
            profile.resident[-profile.resident_models :], 0.0
        )
        self._wanted: deque[str] = deque()
        self._of_people: set[str] = set()

    @property
    def resident(self) -> tuple[str, ...]:
        """Models in memory, least recently used first."""
        return tuple(sorted(self._used_at, key=lambda model: (self._used_at[model], model)))

    @property
    def in_flight(self) -> int:
        return len(self.running) + len(self.queue)

    def send(self, task_id: str, model: str) -> None:
        self.queue.append((task_id, model))

    def send_first(self, request_id: str, model: str) -> None:
        """A person's request: it waits before all tasks, behind those that came earlier."""
        place = sum(queued in self._of_people for queued, _ in self.queue)
        self._of_people.add(request_id)
        self.queue.insert(place, (request_id, model))

    def take_back(self, admitted: frozenset[str]) -> list[str]:
        """The tasks that have not begun and whose model may not start: they leave the line."""
        leaving = [
            task_id
            for task_id, model in self.queue
            if task_id not in self._of_people and model not in admitted
        ]
        self.queue = deque(item for item in self.queue if item[0] not in leaving)
        self._wanted = deque(model for model in self._wanted if model in admitted)
        return leaving

    def interrupt(self, models: Collection[str]) -> list[str]:
        """The running tasks of ``models``; they end here, unfinished."""
        leaving = [
            started.task_id
            for started in self.running.values()
            if started.model in models and started.task_id not in self._of_people
        ]
        for task_id in leaving:
            del self.running[task_id]
        return leaving

    def preload(self, model: str) -> None:
        if model not in self._used_at and model not in self._wanted:
            self._wanted.append(model)

    def finish(self, task_id: str, now: float) -> None:
        self._used_at[self.running.pop(task_id).model] = now

    def loaded(self, now: float) -> None:
        if self.loading is not None:
            self._used_at[self.loading.model] = now
            self.loading = None

    def fail(self) -> Lost:
        """The server dies: all that it held is lost."""
        lost = Lost(
            tuple(self.running.values()), tuple(task for task, _ in self.queue), self.loading
        )
        self.up = False
        self.running.clear()
        self.queue.clear()
        self._wanted.clear()
        self._used_at.clear()
        self.loading = None
        return lost

    def recover(self) -> None:
        self.up = True

    def advance(self, now: float) -> tuple[list[Started], LoadBegun | None]:
        """Start what can start; begin a load where one is wanted and fits."""
        if not self.up:
            return [], None
        started = self._start_ready(now)
        load = self._begin_load(now) if self.loading is None else None
        if load is not None:
            started += self._start_ready(now)
        return started, load

    def _start_ready(self, now: float) -> list[Started]:
        started: list[Started] = []
        waiting: deque[tuple[str, str]] = deque()
        while self.queue and len(self.running) < self.profile.slots:
            task_id, model = self.queue.popleft()
            if model in self._used_at:
                begun = Started(task_id, model, now)
                self.running[task_id] = begun
                self._used_at[model] = now
                started.append(begun)
                continue
            waiting.append((task_id, model))
            if self.loading is None:
                break
        waiting.extend(self.queue)
        self.queue = waiting
        return started

    def _begin_load(self, now: float) -> LoadBegun | None:
        model = self._next_wanted()
        if model is None:
            return None
        evicted = None
        if len(self._used_at) >= self.profile.resident_models:
            evicted = self._victim(model)
            if evicted is None:
                return None
            del self._used_at[evicted]
        if model in self._wanted:
            self._wanted.remove(model)
        self.loading = LoadBegun(model, now, now + self._load_seconds[model], evicted)
        return self.loading

    def _next_wanted(self) -> str | None:
        for _, model in self.queue:
            if model not in self._used_at:
                return model
        return next((model for model in self._wanted if model not in self._used_at), None)

    def _victim(self, wanted: str) -> str | None:
        """An idle model to evict now, or None: the line waits until one has drained. A model that
        someone earlier in the line waits for is not idle, though it runs nothing yet."""
        busy = {started.model for started in self.running.values()}
        needed = self._needed_before(wanted)
        idle = (model for model in self.resident if model not in busy | needed)
        return next(idle, None)

    def _needed_before(self, wanted: str) -> set[str]:
        needed = set()
        for _, model in self.queue:
            if model == wanted:
                break
            needed.add(model)
        return needed
