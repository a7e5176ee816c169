"""What the server really did: counters, gauges, busy time and a journal, for tests and benchmarks.

Points in time (`_at`) are real seconds since the epoch, whatever the time scale.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

JOURNAL_ENTRIES = 20_000
RUNNING = "running"

Phase = Literal["decode", "prefill", "load"]
Counted = Literal["loads", "load_failures", "unloads", "evictions"]
# A second in which several phases ran counts for the most useful one.
_PHASES: tuple[Phase, ...] = ("decode", "prefill", "load")


@dataclass(slots=True)
class ActivityEntry:
    """One completion request.

    `outcome` is `running`, `completed`, `aborted` (the client disconnected), `rejected` (an error
    status) or `harmed` (`fault` names the fault that struck).
    """

    number: int
    endpoint: str
    model: str
    task_id: str | None
    arrived_at: float
    started_at: float | None = None
    first_byte_at: float | None = None
    ended_at: float | None = None
    outcome: str = RUNNING
    status: int | None = None
    fault: str | None = None
    load_seconds: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


@dataclass(slots=True)
class Gauge:
    """A level: the present and the highest one."""

    now: int = 0
    max: int = 0

    def move(self, step: int) -> None:
        """Rise or fall by `step`."""
        self.now += step
        self.max = max(self.max, self.now)


@dataclass(slots=True)
class ModelFigures:
    """The counters of one model."""

    requests: int = 0
    completed: int = 0
    aborted: int = 0
    rejected: int = 0
    harmed: int = 0
    loads: int = 0
    load_failures: int = 0
    unloads: int = 0
    evictions: int = 0
    streams: Gauge = field(default_factory=Gauge)
    in_flight: Gauge = field(default_factory=Gauge)

    def restarted(self) -> ModelFigures:
        """Zero everywhere except in the gauges, which keep their present level."""
        streams, in_flight = self.streams.now, self.in_flight.now
        return ModelFigures(streams=Gauge(streams, streams), in_flight=Gauge(in_flight, in_flight))


class Activity:
    """Counts everything. `clock` gives monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.total = ModelFigures()
        self.models: dict[str, ModelFigures] = {}
        self._occupied: Counter[Phase] = Counter()
        self.reset()

    def reset(self) -> None:
        """Reset to zero; running requests stay in the gauges."""
        self.total = self.total.restarted()
        self.models = {name: figures.restarted() for name, figures in self.models.items()}
        self.journal: deque[ActivityEntry] = deque(maxlen=JOURNAL_ENTRIES)
        self._number = 0
        self._busy: defaultdict[str, float] = defaultdict(float)
        self._since = self._started = self._clock()

    def arrive(
        self, *, endpoint: str, model: str, task_id: str | None, arrived_at: float
    ) -> ActivityEntry:
        """A completion request has arrived."""
        self._number += 1
        entry = ActivityEntry(self._number, endpoint, model, task_id, arrived_at)
        self.journal.append(entry)
        for figures in self._figures(model):
            figures.requests += 1
            figures.in_flight.move(1)
        return entry

    def close(self, entry: ActivityEntry, outcome: str) -> None:
        """The request has ended, in `outcome`."""
        entry.ended_at = time.time()
        entry.outcome = outcome
        for figures in self._figures(entry.model):
            setattr(figures, outcome, getattr(figures, outcome) + 1)
            figures.in_flight.move(-1)

    def count(self, model: str, name: Counted) -> None:
        """Add one to a counter of `model`."""
        for figures in self._figures(model):
            setattr(figures, name, getattr(figures, name) + 1)

    def stream(self, model: str, step: int) -> None:
        """A stream of `model` begins (1) or ends (-1) to hold a slot."""
        for figures in self._figures(model):
            figures.streams.move(step)

    def occupy(self, phase: Phase, step: int) -> None:
        """A phase of work begins (1) or ends (-1)."""
        self._settle()
        self._occupied[phase] += step

    def snapshot(self, *, journal: int) -> dict[str, Any]:
        """Everything as JSON values, with the last `journal` entries, oldest first."""
        self._settle()
        busy = {name: self._busy[name] for name in (*_PHASES, "idle")}
        recent = list(self.journal)[-journal:] if journal else []
        return {
            **dataclasses.asdict(self.total),
            "models": {name: dataclasses.asdict(self.models[name]) for name in sorted(self.models)},
            "busy_seconds": busy,
            "uptime_seconds": self._clock() - self._started,
            "journal": [dataclasses.asdict(entry) for entry in recent],
        }

    def _figures(self, model: str) -> tuple[ModelFigures, ModelFigures]:
        figures = self.models.get(model)
        if figures is None:
            figures = self.models[model] = ModelFigures()
        return self.total, figures

    def _settle(self) -> None:
        now = self._clock()
        doing = next((phase for phase in _PHASES if self._occupied[phase]), "idle")
        self._busy[doing] += now - self._since
        self._since = now
