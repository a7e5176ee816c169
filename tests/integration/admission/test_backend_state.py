"""What pages and planner are told of a server: nothing that is no longer true."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
import redis

from jobs.admission.backend_state import BackendStates
from jobs.admission.breakers import Breakers
from jobs.admission.consumers import Consumers
from jobs.admission.limits import Limit, Limits
from jobs.admission.residency import Holds, Residency
from jobs.planning.current_state import StateReader
from jobs.settings.load import Settings, load
from llm.backends.base import BackendAdapter
from llm.breaker import BreakerPhase
from llm.errors import LoadFailed, ServerFailed
from llm.scanner import Scanner
from llm.types import (
    BackendKind,
    BackendSpec,
    Deadlines,
    ModelInfo,
    ResidentModel,
    Scan,
    ScannedModel,
    ServerScan,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
UP = ServerScan("ollama", BackendKind.OLLAMA, (), (ResidentModel("scanned"),), scanned_at=NOW)
AWAY = ServerScan("ollama", BackendKind.OLLAMA, None, error="unreachable: refused")


@pytest.fixture
def states(client: redis.Redis, tmp_path: Path) -> BackendStates:
    settings = load({"KOS_HOME": str(tmp_path)}, in_container=False)
    return BackendStates(
        Breakers(client), Limits(client, settings), Residency(client), Consumers(client)
    )


def test_models_last_seen_in_memory_win_over_those_of_the_scan(states: BackendStates) -> None:
    assert states.of("ollama", UP).resident == ("scanned",)

    states.residency.publish("ollama", (ResidentModel("seen"),))

    assert states.of("ollama", UP).resident == ("seen",)


def test_a_server_that_is_away_has_nothing_in_memory(states: BackendStates) -> None:
    states.residency.publish("ollama", (ResidentModel("seen"),))

    state = states.of("ollama", AWAY)

    assert (state.resident, state.error) == ((), "unreachable: refused")
    states.residency.withdraw("ollama")
    assert states.of("ollama", None).resident == ()


def test_a_breaker_has_a_reason_only_while_it_is_not_closed(states: BackendStates) -> None:
    error = ServerFailed("HTTP 500")
    states.breakers.failed("ollama", None, error)
    state = states.of("ollama", UP)
    assert (state.breaker, state.breaker_reason, state.blocked) == (
        BreakerPhase.CLOSED, None, None,
    )  # fmt: skip

    for _ in range(2):
        states.breakers.failed("ollama", None, error)

    state = states.of("ollama", UP)
    assert state.breaker is BreakerPhase.OPEN
    assert "HTTP 500" in str(state.breaker_reason)
    assert "HTTP 500" in str(state.blocked)


def test_a_server_without_a_model_that_works_takes_nothing(states: BackendStates) -> None:
    models = tuple(ScannedModel(ModelInfo(name)) for name in ("a", "b"))
    server = replace(UP, models=(*models, ScannedModel(ModelInfo("c"), broken="no chat")))
    error = LoadFailed("out of memory")

    for _ in range(2):
        states.breakers.failed("ollama", "a", error)
    assert states.of("ollama", server).blocked is None

    for _ in range(2):
        states.breakers.failed("ollama", "b", error)
    assert str(states.of("ollama", server).blocked).startswith("no model works: a: breaker open")


def test_a_paused_server_says_so(states: BackendStates) -> None:
    states.breakers.pause("ollama")

    state = states.of("ollama", UP)

    assert (state.paused, state.blocked) == (True, "paused")


def reading(states: BackendStates, settings: Settings) -> StateReader:
    return StateReader(
        settings,
        scanner=cast(Scanner, None),
        limits=states.limits,
        breakers=states.breakers,
        residency=states.residency,
        consumers=states.consumers,
    )


@pytest.mark.parametrize(
    ("paused", "total", "scanned", "expected"),
    [
        (False, 1, UP, None),
        (False, 1, AWAY, "unreachable: refused"),
        (False, 1, None, "not scanned yet"),
        (False, 0, UP, "the host is full"),
        (False, 0, AWAY, "the host is full"),
        (True, 0, UP, "paused"),
    ],
)
def test_a_plan_is_told_why_a_server_takes_nothing(
    states: BackendStates,
    tmp_path: Path,
    paused: bool,
    total: int,
    scanned: ServerScan | None,
    expected: str | None,
) -> None:
    reader = reading(states, load({"KOS_HOME": str(tmp_path)}, in_container=False))
    states.limits.publish({}, total=Limit(total, total, "the host is full"))
    if paused:
        states.breakers.pause("ollama")

    views = reader.backends(Scan(at=NOW, servers=(scanned,) if scanned else ()))

    assert next(view.unavailable for view in views if view.name == "ollama") == expected


def test_plans_count_on_what_a_server_was_seen_to_hold(
    client: redis.Redis, states: BackendStates, tmp_path: Path
) -> None:
    environ = {"KOS_HOME": str(tmp_path), "MLX_API_URL": "http://x", "MLX_MAX_CACHED_MODELS": "3"}
    settings = load(environ, in_container=False)
    mlx = settings.backend("mlx")
    assert mlx is not None
    reader = reading(states, settings)

    def planned() -> int:
        views = reader.backends(Scan(at=NOW, servers=()))
        return next(view.max_resident for view in views if view.name == "mlx")

    assert planned() == 3

    server = Dropping(mlx)
    for model in ("a", "b"):
        states.residency.ensure(cast(BackendAdapter, server), model, 0, deadlines=Deadlines())

    assert planned() == 1
    assert states.of("mlx", None).holds == Holds(1, loaded="b", removed="a")
    states.residency.publish("mlx", (ResidentModel("a"), ResidentModel("b")))
    assert planned() == 3


class Dropping:
    """A server that holds one model, whatever is configured."""

    name = "mlx"

    def __init__(self, spec: BackendSpec) -> None:
        self.spec = spec
        self.held: tuple[ResidentModel, ...] = ()

    def resident_models(self) -> tuple[ResidentModel, ...]:
        return self.held

    def preload(self, model: str, **options: object) -> float:
        self.held = (ResidentModel(model),)
        return 2.0
