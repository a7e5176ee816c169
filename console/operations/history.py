"""What really ran here, as a workload for the simulator."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from statistics import fmean
from typing import TypeVar

from console.operations.errors import InvalidInput
from jobs.policy.estimation import WARM_LOAD_SECONDS
from jobs.settings.load import Settings
from jobs.simulation.workload import Pair, VirtualBackend, VirtualModel, VirtualTask, Workload
from llm.types import BackendKind, Category
from models import attempt, model_loads
from models.attempt import ServedAttempt
from models.states import Priority

MAX_ATTEMPTS = 5000
USUAL_LOAD_SECONDS = 5.0
SHORTEST_SECONDS = 0.001
E = TypeVar("E", bound=StrEnum)


def workload_of_history(settings: Settings, *, limit: int = MAX_ATTEMPTS) -> Workload:
    """The newest completed attempts. A task's time at a place where it did not run is its own
    time scaled by the means of both places; it may run wherever its category ran.

    Raises:
        InvalidInput: nothing has completed yet.
    """
    rows = attempt.served(limit)
    if not rows:
        raise InvalidInput(
            "no task has completed here yet: use --workload, or run some tasks first"
        )
    by_pair: dict[Pair, list[ServedAttempt]] = defaultdict(list)
    pairs_of: dict[str, set[Pair]] = defaultdict(set)
    for row in rows:
        pair = (row.backend, row.model)
        by_pair[pair].append(row)
        pairs_of[row.category].add(pair)
    means = {pair: fmean(_served(row) for row in found) for pair, found in by_pair.items()}
    loads = model_loads.mean_seconds()
    heavy = {pair for pair, found in by_pair.items() if any(row.heavy for row in found)}
    first = min(row.created_at for row in rows)
    return Workload(
        name="history",
        backends=_backends(settings, _resident_at_first(rows)),
        models=tuple(
            _model(pair, loads.get(pair), means[pair], heavy=pair in heavy) for pair in by_pair
        ),
        tasks=tuple(_task(row, means, pairs_of[row.category], first) for row in rows),
        fairness_seconds=settings.fairness_seconds,
    )


def _resident_at_first(rows: Iterable[ServedAttempt]) -> dict[str, tuple[str, ...]]:
    """By backend, its models before the first of these attempts: an attempt without a load found
    its model there."""
    first: dict[str, ServedAttempt] = {}
    for row in rows:
        known = first.get(row.backend)
        if known is None or row.started_at < known.started_at:
            first[row.backend] = row
    return {
        backend: (row.model,) if row.load_seconds < WARM_LOAD_SECONDS else ()
        for backend, row in first.items()
    }


def _backends(
    settings: Settings, resident: Mapping[str, tuple[str, ...]]
) -> tuple[VirtualBackend, ...]:
    found = []
    for name in sorted(resident):
        spec = settings.backend(name)
        kind = spec.kind if spec else BackendKind.OPENAI
        found.append(
            VirtualBackend(
                name=name,
                slots=min(spec.max_concurrent, settings.max_concurrent) if spec else 1,
                resident_models=(spec.max_resident_models if spec else None) or 1,
                kind=kind,
                resident=resident[name],
                heavy_limit=settings.heavy_limits.get(kind),
            )
        )
    return tuple(found)


def _model(
    pair: Pair, load_seconds: float | None, mean_seconds: float, *, heavy: bool
) -> VirtualModel:
    return VirtualModel(
        backend=pair[0],
        model=pair[1],
        load_seconds=USUAL_LOAD_SECONDS if load_seconds is None else load_seconds,
        mean_service_seconds=mean_seconds,
        heavy=heavy,
    )


def _task(
    row: ServedAttempt, means: Mapping[Pair, float], pairs: set[Pair], first: datetime
) -> VirtualTask:
    factor = _served(row) / means[row.backend, row.model]
    return VirtualTask(
        id=row.task_id,
        service_seconds={pair: max(SHORTEST_SECONDS, means[pair] * factor) for pair in pairs},
        arrival_seconds=(row.created_at - first).total_seconds(),
        priority=_word(Priority, row.priority or "", Priority.MEDIUM),
        category=_word(Category, row.category, Category.DEFAULT),
        complexity=row.complexity if row.complexity is not None else 0.5,
    )


def _served(row: ServedAttempt) -> float:
    """Without the load: the simulator adds loads of its own."""
    return max(SHORTEST_SECONDS, row.duration_seconds - row.load_seconds)


def _word(kind: type[E], text: str, default: E) -> E:
    try:
        return kind(text)
    except ValueError:
        return default
