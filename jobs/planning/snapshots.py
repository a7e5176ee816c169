"""Builds the planner's input: rows, scan, limits and learned figures as one value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import psutil

from jobs.planning.learned_figures import LearnedFigures
from jobs.policy import metadata
from jobs.policy.plan_building.choices import asks_for
from jobs.policy.prompt_size import prompt_size
from jobs.policy.task_order import prompt_prefix
from jobs.policy.types import (
    BackendView,
    BlockKey,
    FurtherTasks,
    ModelView,
    PlanningConfig,
    RunningTask,
    Snapshot,
    TaskView,
)
from jobs.settings.load import Settings
from llm.types import Category, Scan, ScannedModel
from models.states import Priority
from models.task_rows import InFlightTask, PendingTask

MEMORY_SHARE = 0.85
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1", "host.docker.internal"})


def local_memory(settings: Settings) -> dict[str, int]:
    """Bytes of memory of each real server of this host, by backend."""
    return {
        spec.name: psutil.virtual_memory().total
        for spec in settings.backends
        if urlsplit(spec.url).hostname in LOCAL_HOSTS and spec.name not in settings.simulated
    }


def planning_config(settings: Settings, scan: Scan) -> PlanningConfig:
    """``scan`` holds the sizes of heavy models: two that do not fit in memory are kept apart."""
    return PlanningConfig(
        allow_two_heavy=fits_two_heavy(settings, scan),
        policy=settings.policy,
        batch_size=settings.batch_size,
        window=settings.plan_window,
        batch_by_model=settings.batch_by_model,
        interleave_blocks=settings.interleave_blocks,
        heavy_light_pairing=settings.heavy_light_pairing,
        fairness_seconds=settings.fairness_seconds,
    )


def fits_two_heavy(settings: Settings, scan: Scan) -> bool:
    """Whether this host's memory holds the largest heavy model of each of its servers at once."""
    if not settings.heavy_light_pairing:
        return True
    sizes, local = [], local_memory(settings)
    for server in scan.servers:
        if server.backend in local:
            heavy = [model.info.size_bytes or 0 for model in server.models or () if model.heavy]
            sizes.append(max(heavy, default=0))
    # The rest of the memory is for contexts and for the system.
    return len(sizes) < 2 or sum(sizes) <= MEMORY_SHARE * psutil.virtual_memory().total


def snapshot(
    settings: Settings,
    figures: LearnedFigures,
    *,
    now: datetime,
    scan: Scan,
    models: Iterable[tuple[str, int, ScannedModel]],
    backends: tuple[BackendView, ...],
    in_flight: Sequence[InFlightTask] = (),
    window: Sequence[PendingTask] = (),
    waiting: Mapping[str, int] | None = None,
) -> Snapshot:
    """The input of one plan.

    ``models`` are usable ones as (backend, rank in its scan, model). ``waiting`` holds how many
    tasks of a category wait in all, where the window does not hold them.
    """
    tasks = tuple(task_view(row, now) for row in window)
    places = {server.backend: server.places() for server in scan.servers}
    views = tuple(
        _model_view(places.get(backend, {}), backend, rank, model, figures)
        for backend, rank, model in models
    )
    service = {(view.backend, view.name): view.service_seconds for view in views}
    return Snapshot(
        now=now,
        tasks=tasks,
        backends=backends,
        models=views,
        running=tuple(_running(row, service, now) for row in in_flight),
        beyond=further_tasks(tasks, waiting or {}),
        config=planning_config(settings, scan),
    )


def further_tasks(
    tasks: Sequence[TaskView], waiting: Mapping[str, int]
) -> tuple[FurtherTasks, ...]:
    """Tasks outside the window, assumed to be mixed like those of their category inside it."""
    alike: dict[tuple[object, ...], list[TaskView]] = {}
    inside = Counter(task.category for task in tasks)
    for task in tasks:
        # Urgent rows go before all others, so hardly any are outside of the window.
        if task.priority is not Priority.URGENT:
            alike.setdefault(asks_for(task), []).append(task)
    found = []
    for group in alike.values():
        category = group[0].category
        outside = max(0, waiting.get(category.value, 0) - inside[category])
        count = round(outside * len(group) / inside[category])
        if count:
            found.append(FurtherTasks(group[0].id, count))
    return tuple(found)


def _model_view(
    places: Mapping[Category, Mapping[str, int]],
    backend: str,
    rank: int,
    model: ScannedModel,
    learned: LearnedFigures,
) -> ModelView:
    figures = learned.figures(backend, model.name)
    return ModelView(
        backend=backend,
        name=model.name,
        categories=model.categories,
        heavy=model.heavy,
        load_seconds=figures.load_seconds.mean,
        service_seconds=figures.service_seconds.mean,
        service_by_category=figures.mean_service_by_category,
        service_variation=figures.service_seconds.variation,
        rank=rank,
        ranks={
            category: names[model.name] for category, names in places.items() if model.name in names
        },
        strengths=model.strengths,
        context_tokens=model.info.context_tokens,
    )


def task_view(row: PendingTask, now: datetime) -> TaskView:
    options = metadata.read(row.metadata)
    size = prompt_size(
        options,
        text_bytes=row.text_bytes,
        earlier_bytes=row.earlier_bytes,
        faults=row.faults,
    )
    return TaskView(
        id=row.id,
        created_at=row.created_at or now,
        priority=_priority(row.priority),
        category=category_of(row.category),
        complexity=row.complexity if row.complexity is not None else 0.5,
        preferred_source=options.preferred_source,
        required_backend=options.required_backend,
        required_model=options.required_model,
        num_ctx=size.num_ctx,
        prompt_tokens=size.prompt_tokens,
        max_tokens=size.max_tokens,
        bug_probability=options.bug_probability,
        attempt_count=row.attempt_count,
        avoid=avoided_places(row.avoid),
        prefix=prompt_prefix(
            row.assignee_expert_id, metadata.own_system(row.metadata), options.file_paths
        ),
    )


def _running(
    row: InFlightTask, service: Mapping[tuple[str, str], float], now: datetime
) -> RunningTask:
    expected = service.get((row.backend or "", row.model or ""), 10.0)
    since = row.started_at if row.status == "in_progress" else None
    elapsed = (now - since).total_seconds() if since else 0.0
    return RunningTask(
        task_id=row.id,
        key=BlockKey(backend=row.backend or "", model=row.model or ""),
        # A task far beyond its mean is expected to go on for as long as it is late.
        expected_remaining_seconds=max(expected - elapsed, expected * 0.1, elapsed - expected),
    )


def _priority(text: str | None) -> Priority:
    try:
        return Priority(text or "medium")
    except ValueError:
        return Priority.MEDIUM


def category_of(text: str | None) -> Category:
    try:
        return Category(text or "default")
    except ValueError:
        return Category.DEFAULT


def avoided_places(value: Any) -> frozenset[tuple[str, str]]:
    pairs = value if isinstance(value, list) else []
    return frozenset((pair[0], pair[1]) for pair in pairs if _is_pair(pair))


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(x, str) for x in value)
