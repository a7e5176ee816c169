"""What a simulation runs: servers, models with their means, tasks with their true times.

The JSON form is a contract. A policy sees the means of the models, never a task's true time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from llm.types import BackendKind, Category
from models.states import Priority

Pair = tuple[str, str]
"""(backend, model)."""


class WorkloadError(ValueError):
    """A workload that cannot be run; the message names the field."""


@dataclass(frozen=True, slots=True)
class VirtualBackend:
    """A server. ``outages`` are (start, end) seconds; an end of infinity never comes back.
    ``prompt_slots``: each slot keeps its last prompt, and the server says how many it has
    (llama-server)."""

    name: str
    slots: int
    resident_models: int = 1
    kind: BackendKind = BackendKind.OPENAI
    resident: tuple[str, ...] = ()
    heavy_limit: int | None = None
    outages: tuple[tuple[float, float], ...] = ()
    prompt_slots: bool = False


@dataclass(frozen=True, slots=True)
class VirtualModel:
    backend: str
    model: str
    load_seconds: float
    mean_service_seconds: float
    heavy: bool = False
    mean_by_category: Mapping[Category, float] = field(default_factory=dict, hash=False)

    @property
    def pair(self) -> Pair:
        return self.backend, self.model


@dataclass(frozen=True, slots=True)
class VirtualTask:
    """``service_seconds`` by (backend, model): where it may run, and how long it takes there.
    ``backoffs`` holds, for each of its attempts that fail, the seconds before the next one.
    ``prefix`` are the pieces (name, tokens) that its prompt of ``prompt_tokens`` begins with and
    may share; 0 tokens: unknown."""

    id: str
    service_seconds: Mapping[Pair, float]
    arrival_seconds: float = 0.0
    priority: Priority = Priority.MEDIUM
    category: Category = Category.DEFAULT
    complexity: float = 0.5
    bug_probability: float | None = None
    backoffs: tuple[float, ...] = ()
    prefix: tuple[tuple[str, int], ...] = ()
    prompt_tokens: int = 0


@dataclass(frozen=True, slots=True)
class VirtualRequest:
    """A person's request; ``service_seconds`` as of a task."""

    id: str
    service_seconds: Mapping[Pair, float]
    arrival_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Workload:
    backends: tuple[VirtualBackend, ...]
    models: tuple[VirtualModel, ...]
    tasks: tuple[VirtualTask, ...]
    name: str = "file"
    allow_two_heavy: bool = True
    fairness_seconds: float = 900.0
    interactive: tuple[VirtualRequest, ...] = ()
    interactive_reserved: int = 1
    interactive_patience_seconds: float = 10.0
    interactive_keep_seconds: float = 600.0

    @property
    def with_requests_as_tasks(self) -> Workload:
        """The same work for a schedule that knows when people ask: what its bounds are made of."""
        tasks = tuple(
            VirtualTask(request.id, request.service_seconds, request.arrival_seconds)
            for request in self.interactive
        )
        return replace(self, tasks=(*self.tasks, *tasks), interactive=())

    @property
    def offline(self) -> bool:
        """Whether all tasks wait from the start."""
        return all(task.arrival_seconds <= 0.0 for task in self.tasks)

    @property
    def model_by_pair(self) -> dict[Pair, VirtualModel]:
        return {model.pair: model for model in self.models}


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Changes to try: by backend name, or another backend that copies an existing one."""

    slots: Mapping[str, int] = field(default_factory=dict)
    resident_models: Mapping[str, int] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)


def changed(workload: Workload, what_if: WhatIf) -> Workload:
    """The workload under the changes; ``copies`` maps a new backend's name to its original."""
    names = {backend.name for backend in workload.backends}
    named = [*what_if.slots, *what_if.resident_models, *what_if.copies.values()]
    for name in named:
        if name not in names | set(what_if.copies):
            raise WorkloadError(f"no backend named {name}; there are {', '.join(sorted(names))}")
    for copy, original in what_if.copies.items():
        workload = _with_copy(workload, copy, original)
    backends = tuple(
        replace(
            backend,
            slots=what_if.slots.get(backend.name, backend.slots),
            resident_models=what_if.resident_models.get(backend.name, backend.resident_models),
        )
        for backend in workload.backends
    )
    return replace(workload, backends=backends)


def _with_copy(workload: Workload, copy: str, original: str) -> Workload:
    if any(backend.name == copy for backend in workload.backends):
        raise WorkloadError(f"a backend named {copy} exists already")
    source = next(backend for backend in workload.backends if backend.name == original)
    models = [replace(m, backend=copy) for m in workload.models if m.backend == original]

    def with_copy(service: Mapping[Pair, float]) -> Mapping[Pair, float]:
        return {**service, **{(copy, m): s for (b, m), s in service.items() if b == original}}

    return replace(
        workload,
        backends=(*workload.backends, replace(source, name=copy, outages=())),
        models=(*workload.models, *models),
        tasks=tuple(
            replace(task, service_seconds=with_copy(task.service_seconds))
            for task in workload.tasks
        ),
        interactive=tuple(
            replace(request, service_seconds=with_copy(request.service_seconds))
            for request in workload.interactive
        ),
    )
