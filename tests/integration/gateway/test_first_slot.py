"""The slot that a request takes while the servers are looked at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
import redis

from gateway.interactive_slots import FirstSlot, InteractiveSlots
from gateway.names import Place
from jobs import runtime
from jobs.admission.slots import Slots
from jobs.settings.load import Settings
from tests.support.system import migrate

PLACE = Place("mlx", "chat", heavy=False)
LIMITS: Any = SimpleNamespace(
    of=lambda backend: SimpleNamespace(slots=1, heavy=1),
    total=SimpleNamespace(slots=4),
    total_reserved=0,
    reserved=lambda backend: 0,
)


async def never(position: int, seconds: float) -> None:
    raise AssertionError("nobody waits for a slot that is taken already")


def test_it_is_used_at_its_own_place_and_given_back_otherwise(redis_url: str) -> None:
    slots = Slots(redis.Redis.from_url(redis_url), owner="gateway")
    interactive_slots = InteractiveSlots(slots, cast(Any, LIMITS), wait_seconds=10)

    async def requests() -> list[int]:
        in_use = []
        async with interactive_slots.first_slot() as first:
            first.take(PLACE)
            async with interactive_slots.slot(PLACE, "me", never, first) as slot:
                in_use.append(slots.in_use("mlx"))
                assert slot.holder == first.holder
            in_use.append(slots.in_use("mlx"))
        async with interactive_slots.first_slot() as unused:
            unused.take(PLACE)
            assert not unused.hand_over(Place("ollama", "chat", heavy=False))
            in_use.append(slots.in_use("mlx"))
        return [*in_use, slots.in_use("mlx")]

    assert anyio.run(requests) == [1, 0, 1, 0]


@pytest.mark.parametrize("is_migrated", [True, False])
def test_it_is_taken_on_a_database_without_tables_too(
    postgres_url: str, redis_url: str, is_migrated: bool
) -> None:
    if is_migrated:
        migrate(postgres_url)
    services = runtime.connect(
        Settings(backends=(), database_url=postgres_url, redis_url=redis_url), program="gateway"
    )
    first = FirstSlot(services.slots, cast(Any, LIMITS))

    first.take(PLACE)

    assert first.hand_over(PLACE)
    services.close()


def test_while_the_database_is_away_a_request_gets_in_line(redis_url: str) -> None:
    services = runtime.connect(
        Settings(backends=(), database_url="postgresql://kos@127.0.0.1:9/kos", redis_url=redis_url),
        program="gateway",
    )
    first = FirstSlot(services.slots, cast(Any, LIMITS))

    first.take(PLACE)

    assert not first.hand_over(PLACE)
    services.close()
