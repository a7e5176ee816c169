"""Which other backends may take a task that failed at one."""

from __future__ import annotations

from jobs.policy.plan_building.choices import others
from tests.support.plan_builders import MODELS, mlx, ollama, snapshot, task


def test_a_server_that_is_up_and_has_models_may_take_it() -> None:
    assert others(snapshot([]), task(1), than="ollama") == ("mlx",)


def test_a_server_that_is_down_may_not() -> None:
    given = snapshot([], mlx(unavailable="connection refused"), ollama())

    assert others(given, task(1), than="ollama") == ()


def test_a_server_without_models_may_not() -> None:
    given = snapshot([], models=tuple(model for model in MODELS if model.backend == "ollama"))

    assert others(given, task(1), than="ollama") == ()


def test_a_server_whose_limit_is_nothing_may_not() -> None:
    assert others(snapshot([], mlx(slots=0), ollama()), task(1), than="ollama") == ()


def test_a_task_that_asks_for_a_backend_stays_there() -> None:
    assert others(snapshot([]), task(1, required_backend="ollama"), than="ollama") == ()


def test_a_task_that_asks_for_a_model_goes_only_where_it_is() -> None:
    only_here = tuple(m for m in MODELS if (m.backend, m.name) != ("mlx", "thinker"))

    asked = task(1, required_model="thinker")

    assert others(snapshot([]), asked, than="ollama") == ("mlx",)
    assert others(snapshot([], models=only_here), asked, than="ollama") == ()
