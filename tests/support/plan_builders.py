"""Small snapshots for planning tests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from jobs.policy.types import (
    BackendView,
    BlockKey,
    ModelView,
    PlanningConfig,
    Snapshot,
    TaskView,
)
from llm.types import BackendKind, Category
from models.states import Priority

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

FAST, CODING, REASONING = Category.FAST, Category.CODING, Category.REASONING


def task(
    number: int | str,
    category: Category = CODING,
    *,
    priority: Priority = Priority.MEDIUM,
    age_seconds: float = 0.0,
    **more: object,
) -> TaskView:
    created = NOW - timedelta(seconds=age_seconds)
    return TaskView(str(number), created, priority, category, **more)  # type: ignore[arg-type]


def tasks(count: int, category: Category = CODING, *, start: int = 0) -> list[TaskView]:
    return [task(f"{category.value}-{start + n:03}", category) for n in range(count)]


def mlx(**more: object) -> BackendView:
    return BackendView("mlx", BackendKind.MLX, **{"slots": 2, **more})  # type: ignore[arg-type]


def ollama(**more: object) -> BackendView:
    return BackendView("ollama", BackendKind.OLLAMA, **{"slots": 2, **more})  # type: ignore[arg-type]


MODELS = (
    ModelView("mlx", "small", (FAST,), load_seconds=1.0, service_seconds=2.0),
    ModelView("mlx", "coder", (CODING,), load_seconds=5.0, service_seconds=20.0, rank=1),
    ModelView("mlx", "thinker", (REASONING,), True, 9.0, 50.0, rank=2),
    ModelView("ollama", "small", (FAST,), load_seconds=8.0, service_seconds=8.0),
    ModelView("ollama", "coder", (CODING,), load_seconds=20.0, service_seconds=25.0, rank=1),
    ModelView("ollama", "thinker", (REASONING,), True, 40.0, 55.0, rank=2),
)


def snapshot(
    waiting: Iterable[TaskView],
    *backends: BackendView,
    models: tuple[ModelView, ...] = MODELS,
    **config: object,
) -> Snapshot:
    return Snapshot(
        now=NOW,
        tasks=tuple(waiting),
        backends=backends or (mlx(), ollama()),
        models=models,
        config=PlanningConfig(**config),  # type: ignore[arg-type]
    )


def key(backend: str, model: str, num_ctx: int = 0) -> BlockKey:
    return BlockKey(backend, model, num_ctx)
