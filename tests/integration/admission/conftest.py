from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from jobs.admission.slots import Slots
from tests.support.embedded import Server, redis_server

LEASE_SECONDS = 0.6
RENEW_SECONDS = 0.4
PLACE_SECONDS = 0.3

Process = Callable[..., Slots]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with redis_server() as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    with server.client() as connected:
        connected.flushall()
        yield connected


@pytest.fixture
def process(client: redis.Redis) -> Process:
    """Builds the slots as a process of that name sees them; ``more`` goes to Slots."""

    def build(owner: str, **more: Any) -> Slots:
        return Slots(
            client,
            lease_seconds=LEASE_SECONDS,
            renew_seconds=RENEW_SECONDS,
            place_seconds=PLACE_SECONDS,
            owner=owner,
            **more,
        )

    return build
