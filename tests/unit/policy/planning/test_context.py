"""A task goes where the context holds it."""

from __future__ import annotations

from jobs.policy.plan_building.choices import Router
from jobs.policy.types import BlockKey, ModelView, TaskView
from tests.support.plan_builders import mlx, ollama, snapshot, task

SMALL = ModelView("mlx", "a", context_tokens=2048)
LARGE = ModelView("ollama", "b", context_tokens=32_768)
UNKNOWN = ModelView("ollama", "c")


def places(wanted: TaskView, *models: ModelView) -> list[BlockKey]:
    view = snapshot([], mlx(), ollama(), models=models)
    return [option.key for option in Router(view).choices(wanted).options]


def test_a_long_prompt_passes_by_the_model_that_cannot_hold_it() -> None:
    wanted = task(1, prompt_tokens=5000, max_tokens=1000, num_ctx=8192)

    assert places(wanted, SMALL, LARGE) == [BlockKey("ollama", "b", 8192)]


def test_a_short_prompt_may_go_to_both() -> None:
    wanted = task(1, prompt_tokens=700, max_tokens=1000, num_ctx=8192)

    assert [key.backend for key in places(wanted, SMALL, LARGE)] == ["mlx", "ollama"]


def test_where_no_model_is_known_to_hold_it_the_worker_decides() -> None:
    wanted = task(1, prompt_tokens=50_000, max_tokens=1000, num_ctx=65_536)

    assert places(wanted, SMALL) == [BlockKey("mlx", "a", 0)]


def test_a_model_whose_context_is_not_known_may_take_anything() -> None:
    wanted = task(1, prompt_tokens=50_000, max_tokens=1000, num_ctx=65_536)

    assert places(wanted, SMALL, UNKNOWN) == [BlockKey("ollama", "c", 65_536)]


def test_no_more_context_is_requested_than_the_model_was_trained_for() -> None:
    wanted = task(1, prompt_tokens=50_000, max_tokens=1000, num_ctx=65_536)

    assert places(wanted, LARGE) == [BlockKey("ollama", "b", 32_768)]
