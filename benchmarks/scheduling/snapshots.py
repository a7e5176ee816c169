"""A large window, for timing one plan."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from jobs.policy.types import BackendView, ModelView, PlanningConfig, Snapshot, TaskView
from llm.types import BackendKind, Category
from models.states import Priority

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_KINDS = (
    (Category.FAST, 1.0, 2.0),
    (Category.DEFAULT, 3.0, 4.0),
    (Category.CODING, 6.0, 24.0),
    (Category.REASONING, 9.0, 50.0),
)


def large_snapshot(
    config: PlanningConfig, *, tasks: int = 2000, backends: int = 5, seed: int = 1
) -> Snapshot:
    """Every mix of category, complexity, priority and preferred source."""
    chance = random.Random(seed)
    names = [f"server-{number}" for number in range(backends)]
    return Snapshot(
        now=NOW,
        tasks=tuple(
            TaskView(
                str(number),
                NOW - timedelta(seconds=600 * chance.random()),
                chance.choice([Priority.LOW, Priority.MEDIUM, Priority.HIGH]),
                chance.choice([kind[0] for kind in _KINDS]),
                chance.random(),
                preferred_source=chance.choice(["mlx", "ollama", None]),
            )
            for number in range(tasks)
        ),
        backends=tuple(
            BackendView(
                name, BackendKind.MLX if n % 2 else BackendKind.OLLAMA, slots=4, heavy_limit=4
            )
            for n, name in enumerate(names)
        ),
        models=tuple(
            ModelView(
                name,
                f"{category.value}-model",
                (category,),
                category is Category.REASONING,
                load * (1 + n),
                mean * (1 + 0.3 * n),
            )
            for n, name in enumerate(names)
            for category, load, mean in _KINDS
        ),
        config=config,
    )
