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
from jobs.admission.limits import Limits
from jobs.admission.slots import Slots
from jobs.queues.names import BREAKERS
from jobs.settings.load import Settings
from jobs.upkeep.canaries import Canaries
from llm import breaker
from llm.errors import LoadFailed
from llm.types import (
    BackendKind,
    BackendSpec,
    ResidentModel,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Servers:
    """Stands in for the backends: every canary generates its token."""

    sent: list[tuple[str, int | None]] = field(default_factory=list)

    def get(self, name: str) -> Servers:
        return self

    def canary(self, model: str, *, num_ctx: int | None) -> None:
        self.sent.append((model, num_ctx))

    def is_heavy(self, backend: str, model: str) -> bool:
        return model == "big"

    def residents(self, name: str) -> tuple[ResidentModel, ...]:
        return (ResidentModel("big", context_tokens=16384),)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with closing(redis.Redis.from_url(redis_url)) as client:
        yield client


@pytest.fixture
def canaries(client: redis.Redis) -> Canaries:
    servers: Any = Servers()
    spec = BackendSpec("mlx", BackendKind.MLX, "http://127.0.0.1:1", max_concurrent=2)
    settings = Settings(backends=(spec,), max_concurrent=2, adaptive_max_heavy_mlx=1)
    return Canaries(
        backends=servers,
        breakers=Breakers(client),
        scanner=servers,
        slots=Slots(client, owner="here"),
        limits=Limits(client, settings),
    )


def closed(canaries: Canaries) -> list[str]:
    return list(canaries.breakers.closed_models("mlx"))


def fail_to_load(canaries: Canaries, model: str) -> None:
    canaries.breakers.failed("mlx", model, LoadFailed("out of memory"))


def test_two_failed_loads_close_the_model_and_leave_the_others(canaries: Canaries) -> None:
    fail_to_load(canaries, "big")
    assert closed(canaries) == []

    fail_to_load(canaries, "big")

    assert closed(canaries) == ["big"]


def test_the_canary_of_a_closed_model_is_sent_and_brings_it_back(
    canaries: Canaries, client: redis.Redis
) -> None:
    fail_to_load(canaries, "big")
    fail_to_load(canaries, "big")
    assert not canaries.probe_due()
    make_due(canaries, client)

    assert canaries.probe_due()

    assert canaries.backends.sent == [("big", 16384)]  # type: ignore[attr-defined]
    assert closed(canaries) == []


@pytest.mark.parametrize(("in_use", "heavy"), [(2, False), (1, True)])
def test_no_canary_goes_to_a_server_without_a_free_slot(
    canaries: Canaries, client: redis.Redis, in_use: int, heavy: bool
) -> None:
    fail_to_load(canaries, "big")
    fail_to_load(canaries, "big")
    make_due(canaries, client)
    for number in range(in_use):
        canaries.slots.acquire("mlx", f"{number}:1", limit=2, heavy=heavy)

    assert not canaries.probe_due()
    assert canaries.backends.sent == []  # type: ignore[attr-defined]

    canaries.slots.release("mlx", "0:1")
    assert canaries.probe_due(), "it is still due once a slot is free"
    assert canaries.slots.in_use("mlx") == in_use - 1, "its slot is given back"


def make_due(canaries: Canaries, client: redis.Redis) -> None:
    state = canaries.breakers.states()["mlx|big"]
    client.hset(BREAKERS, "mlx|big", breaker.dumps(replace(state, retry_at=NOW)))
    canaries.breakers.resume("mlx")  # forgets what it read
