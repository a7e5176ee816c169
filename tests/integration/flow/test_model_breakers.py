"""A model that fails to load is not planned for until its canary has generated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from jobs.admission.breakers import Breakers
from jobs.planning.current_state import usable_models
from jobs.queues.names import BREAKERS
from jobs.upkeep.canaries import Canaries
from llm import breaker
from llm.errors import LoadFailed
from llm.types import BackendKind, ModelInfo, ResidentModel, Scan, ScannedModel, ServerScan

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Servers:
    """Stands in for the backends: every canary generates its token."""

    sent: list[tuple[str, int | None]] = field(default_factory=list)

    def get(self, name: str) -> Servers:
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
def canaries(client: redis.Redis) -> Canaries:
    servers: Any = Servers()
    return Canaries(backends=servers, breakers=Breakers(client), scanner=servers)


def usable(canaries: Canaries) -> list[str]:
    names = ("big", "small")
    models = tuple(ScannedModel(ModelInfo(name)) for name in names)
    scan = Scan(NOW, (ServerScan("mlx", BackendKind.MLX, models),))
    return [model.name for _, _, model in usable_models(canaries.breakers, scan)]


def fail_to_load(canaries: Canaries, model: str) -> None:
    canaries.breakers.failed("mlx", model, LoadFailed("out of memory"))


def test_two_failed_loads_close_the_model_and_leave_the_others(canaries: Canaries) -> None:
    fail_to_load(canaries, "big")
    assert usable(canaries) == ["big", "small"]

    fail_to_load(canaries, "big")

    assert usable(canaries) == ["small"]


def test_the_canary_of_a_closed_model_is_sent_and_brings_it_back(
    canaries: Canaries, client: redis.Redis
) -> None:
    fail_to_load(canaries, "big")
    fail_to_load(canaries, "big")
    assert not canaries.probe_due()
    state = canaries.breakers.states()["mlx|big"]
    client.hset(BREAKERS, "mlx|big", breaker.dumps(replace(state, retry_at=NOW)))
    canaries.breakers.resume("mlx")  # forgets what it read

    assert canaries.probe_due()

    assert canaries.backends.sent == [("big", 16384)]  # type: ignore[attr-defined]
    assert usable(canaries) == ["big", "small"]


def test_a_paused_backend_keeps_its_models(canaries: Canaries) -> None:
    canaries.breakers.pause("mlx")

    assert usable(canaries) == ["big", "small"]
