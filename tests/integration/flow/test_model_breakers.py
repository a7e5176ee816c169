"""A model that fails to load is not planned for until its canary has generated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis

from jobs.admission.breakers import Breakers
from jobs.planning.snapshots import usable_models
from jobs.queues.names import BREAKERS
from jobs.runtime import Runtime
from jobs.upkeep.canaries import probe_due
from llm import breaker
from llm.errors import LoadFailed
from llm.types import BackendKind, ModelInfo, ResidentModel, Scan, ScannedModel, ServerScan

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Canaries:
    """Stands in for the backends: every canary generates its token."""

    sent: list[tuple[str, int | None]] = field(default_factory=list)

    def get(self, name: str) -> Canaries:
        return self

    def canary(self, model: str, *, num_ctx: int | None) -> None:
        self.sent.append((model, num_ctx))

    def residents(self, name: str) -> tuple[ResidentModel, ...]:
        return (ResidentModel("big", context_tokens=16384),)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with closing(redis.Redis.from_url(redis_url)) as client:
        yield client


@pytest.fixture
def runtime(client: redis.Redis) -> Runtime:
    servers = Canaries()
    parts: Any = SimpleNamespace(breakers=Breakers(client), backends=servers, scanner=servers)
    return cast(Runtime, parts)


def usable(runtime: Runtime) -> list[str]:
    names = ("big", "small")
    models = tuple(ScannedModel(ModelInfo(name)) for name in names)
    scan = Scan(NOW, (ServerScan("mlx", BackendKind.MLX, models),))
    return [model.name for _, _, model in usable_models(runtime, scan)]


def fail_to_load(runtime: Runtime, model: str) -> None:
    runtime.breakers.failed("mlx", model, LoadFailed("out of memory"))


def test_two_failed_loads_close_the_model_and_leave_the_others(runtime: Runtime) -> None:
    fail_to_load(runtime, "big")
    assert usable(runtime) == ["big", "small"]

    fail_to_load(runtime, "big")

    assert usable(runtime) == ["small"]


def test_the_canary_of_a_closed_model_is_sent_and_brings_it_back(
    runtime: Runtime, client: redis.Redis
) -> None:
    fail_to_load(runtime, "big")
    fail_to_load(runtime, "big")
    assert not probe_due(runtime)
    state = runtime.breakers.states()["mlx|big"]
    client.hset(BREAKERS, "mlx|big", breaker.dumps(replace(state, retry_at=NOW)))
    runtime.breakers.resume("mlx")  # forgets what it read

    assert probe_due(runtime)

    assert runtime.backends.sent == [("big", 16384)]  # type: ignore[attr-defined]
    assert usable(runtime) == ["big", "small"]


def test_a_paused_backend_keeps_its_models(runtime: Runtime) -> None:
    runtime.breakers.pause("mlx")

    assert usable(runtime) == ["big", "small"]
