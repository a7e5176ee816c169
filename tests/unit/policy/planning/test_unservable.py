"""What a task may ask for in vain: the same that the router finds nothing for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jobs.policy.plan_building.choices import Router, unservable
from jobs.policy.types import BackendView, ModelView
from llm.types import BackendKind
from tests.support.plan_builders import MODELS, mlx, ollama, snapshot, task

PAIRS = [(model.backend, model.name) for model in MODELS]


def test_with_everything_open_nothing_is_asked_for_in_vain() -> None:
    assert unservable([mlx(), ollama()], PAIRS) == (frozenset(), frozenset())


def test_a_server_that_is_down_cannot_be_required() -> None:
    closed, _ = unservable([mlx(unavailable="down"), ollama()], PAIRS)

    assert closed == {"mlx"}


def test_a_model_that_only_a_closed_server_has_is_asked_for_in_vain() -> None:
    only_at_mlx = [*PAIRS, ("mlx", "rare")]

    _, pairs = unservable([mlx(unavailable="paused"), ollama()], only_at_mlx)

    assert pairs == {("", "rare"), ("ollama", "rare")}


@st.composite
def systems(draw: st.DrawFn) -> tuple[list[BackendView], list[ModelView]]:
    possible: list[dict[str, Any]] = [
        {},
        {"unavailable": "down"},
        {"slots": 0},
        {"closed_models": {"a": "breaker open"}},
        {"closed_models": dict.fromkeys("abc", "breaker open")},
    ]
    states = st.sampled_from(possible)
    views = [
        mlx(**draw(states)),
        ollama(**draw(states)),
        replace(ollama(**draw(states)), name="big", kind=BackendKind.OLLAMA),
    ]
    places = st.tuples(st.sampled_from([v.name for v in views]), st.sampled_from("abc"))
    return views, [ModelView(*place) for place in draw(st.lists(places, unique=True))]


@given(systems())
def test_it_agrees_with_the_router(system: tuple[list[BackendView], list[ModelView]]) -> None:
    views, models = system
    closed, pairs = unservable(views, [(model.backend, model.name) for model in models])
    router = Router(snapshot([], *views, models=tuple(models)))

    for backend in ("mlx", "ollama", "big", None):
        for model in ("a", "b", "c", "unknown", None):
            asking = task("t", required_backend=backend, required_model=model)
            excluded = backend in closed or (backend or "", model or "") in pairs
            if backend is not None or (model in {m.name for m in models}):
                assert excluded == (not router.choices(asking).options)
