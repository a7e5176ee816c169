"""What the planner sees: rows, scan, limits and what was learned, as one value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import psutil

from jobs.planning.learned_figures import LearnedFigures
from jobs.policy import metadata
from jobs.policy.planners.choices import asks_for
from jobs.policy.prompt_size import prompt_size
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
from jobs.runtime import Runtime
from jobs.settings.load import Settings
from llm.types import BackendSpec, Category, Scan, ScannedModel, ServerScan
from models.base import Row, as_utc
from models.states import Priority

MEMORY_SHARE = 0.85
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1", "host.docker.internal"})


def planning_config(settings: Settings, scan: Scan) -> PlanningConfig:
    """``scan`` tells the sizes of heavy models, where pairing may have to keep them apart."""
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
    sizes = []
    for server in scan.servers:
        spec = settings.backend(server.backend)
        local = spec is not None and urlsplit(spec.url).hostname in LOCAL_HOSTS
        if local and server.backend not in settings.simulated:
            heavy = [model.info.size_bytes or 0 for model in server.models or () if model.heavy]
            sizes.append(max(heavy, default=0))
    return len(sizes) < 2 or sum(sizes) <= MEMORY_SHARE * psutil.virtual_memory().total


def backend_views(
    runtime: Runtime, scan: Scan, in_flight: Sequence[Row], blocks: Sequence[Row]
) -> tuple[BackendView, ...]:
    """Every configured backend: its limit, what it holds, and why it may take nothing."""
    busy = Counter(row["backend"] for row in in_flight)
    present = {row["backend"]: _key(row) for row in blocks if row["in_flight"] > 0}
    return tuple(
        _backend_view(runtime, spec, scan.server(spec.name), busy[spec.name], present)
        for spec in runtime.settings.backends
    )


def usable_models(runtime: Runtime, scan: Scan) -> Iterator[tuple[str, int, ScannedModel]]:
    """(backend, rank in its scan, model) of all that can chat and can be loaded, as far as known.

    A closed backend keeps its models: what asks for one of them waits for it.
    """
    blocked = runtime.breakers.blocked
    for server in scan.servers:
        closed = blocked(server.backend) is not None
        for rank, model in enumerate(server.models or ()):
            chats = model.broken is None and "embedding" not in model.info.capabilities
            if chats and (closed or blocked(server.backend, model.name) is None):
                yield server.backend, rank, model


def snapshot(
    runtime: Runtime,
    *,
    now: datetime,
    scan: Scan,
    window: Sequence[Row],
    waiting: Mapping[str, int],
    in_flight: Sequence[Row],
    backends: tuple[BackendView, ...],
    learning: LearnedFigures,
) -> Snapshot:
    """Everything that one plan is made from.

    ``waiting`` tells how many tasks of a category wait in all, where the window does not hold them.
    """
    tasks = tuple(task_view(row, now) for row in window)
    models = tuple(
        _model_view(backend, rank, model, learning)
        for backend, rank, model in usable_models(runtime, scan)
    )
    service = {(view.backend, view.name): view.service_seconds for view in models}
    return Snapshot(
        now=now,
        tasks=tasks,
        backends=backends,
        models=models,
        running=tuple(_running(row, service, now) for row in in_flight),
        beyond=further_tasks(tasks, waiting),
        config=planning_config(runtime.settings, scan),
    )


def further_tasks(
    tasks: Sequence[TaskView], waiting: Mapping[str, int]
) -> tuple[FurtherTasks, ...]:
    """What waits outside the window is taken for a mix like that of its category inside."""
    alike: dict[tuple[object, ...], list[TaskView]] = {}
    inside = Counter(task.category for task in tasks)
    for task in tasks:
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


def _backend_view(
    runtime: Runtime,
    spec: BackendSpec,
    server: ServerScan | None,
    in_flight: int,
    present: Mapping[str, BlockKey],
) -> BackendView:
    limit = runtime.limits.of(spec.name)
    unavailable = runtime.breakers.blocked(spec.name)
    total = runtime.limits.total
    if unavailable is None and total.slots == 0:
        unavailable = total.reason
    if unavailable is None and (server is None or not server.reachable):
        unavailable = server.error if server and server.error else "not scanned yet"
    return BackendView(
        name=spec.name,
        kind=spec.kind,
        slots=limit.slots,
        in_flight=in_flight,
        resident=tuple(model.name for model in server.resident) if server else (),
        max_resident=spec.max_resident_models or 1,
        heavy_limit=limit.heavy,
        current=present.get(spec.name),
        unavailable=unavailable,
    )


def _model_view(
    backend: str, rank: int, model: ScannedModel, learning: LearnedFigures
) -> ModelView:
    figures = learning.figures(backend, model.name)
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
    )


def task_view(row: Row, now: datetime) -> TaskView:
    options = metadata.read(row["metadata"])
    size = prompt_size(
        options,
        text_bytes=row["text_bytes"],
        earlier_bytes=row["earlier_bytes"],
        faults=row["faults"],
    )
    return TaskView(
        id=row["id"],
        created_at=as_utc(row["created_at"]) or now,
        priority=_priority(row["priority"]),
        category=_category(row["category"]),
        complexity=row["complexity"] if row["complexity"] is not None else 0.5,
        preferred_source=options.preferred_source,
        required_backend=options.required_backend,
        preferred_model=options.preferred_model,
        num_ctx=size.num_ctx,
        prompt_tokens=size.prompt_tokens,
        max_tokens=size.max_tokens,
        bug_probability=options.bug_probability,
        attempt_count=row["attempt_count"],
        avoid=_avoid(row["avoid"]),
    )


def _running(row: Row, service: Mapping[tuple[str, str], float], now: datetime) -> RunningTask:
    expected = service.get((row["backend"], row["model"]), 10.0)
    since = as_utc(row["started_at"] if row["status"] == "in_progress" else None)
    elapsed = (now - since).total_seconds() if since else 0.0
    return RunningTask(
        task_id=row["id"],
        key=BlockKey(backend=row["backend"] or "", model=row["model"] or ""),
        # What has overrun its mean by far is expected to overrun it further.
        expected_remaining_seconds=max(expected - elapsed, expected * 0.1, elapsed - expected),
    )


def _key(row: Row) -> BlockKey:
    return BlockKey(backend=row["backend"], model=row["model"], num_ctx=row["num_ctx"])


def _priority(text: str | None) -> Priority:
    try:
        return Priority(text or "medium")
    except ValueError:
        return Priority.MEDIUM


def _category(text: str | None) -> Category:
    try:
        return Category(text or "default")
    except ValueError:
        return Category.DEFAULT


def _avoid(value: Any) -> frozenset[tuple[str, str]]:
    pairs = value if isinstance(value, list) else []
    return frozenset((pair[0], pair[1]) for pair in pairs if _is_pair(pair))


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(x, str) for x in value)
