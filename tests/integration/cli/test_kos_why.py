"""``kos why`` of a queued task names the limit that it waits for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from jobs.admission.slots import INTERACTIVE_PREFIX, Slots
from models.base import fetch_all
from tests.integration.cli.command_line import Kos
from tests.integration.cli.steps import queue, rows


@pytest.fixture
def slots(redis_url: str) -> Iterator[Slots]:
    with redis.Redis.from_url(redis_url) as client:
        yield Slots(client)


@pytest.fixture
def task_id(kos: Kos, postgres_url: str) -> str:
    """Queued at mlx, where two calls may run; three may run over both servers."""
    kos.setenv("MLX_MAX_CONCURRENT", "2")
    kos.setenv("SMART_WORKER_MAX_CONCURRENT", "3")
    (found,) = kos.submit({"description": "a"})["ids"]
    with rows(postgres_url):
        queue(found)
    return str(found)


def hold(slots: Slots, backend: str, *holders: str) -> None:
    for holder in holders:
        assert slots.acquire(backend, holder, limit=9).granted


def test_a_task_behind_a_full_server_names_the_setting(
    kos: Kos, slots: Slots, task_id: str
) -> None:
    hold(slots, "mlx", "other:1", f"{INTERACTIVE_PREFIX}a")
    hold(slots, "ollama", "third:1")

    why = kos("why", task_id).out

    assert "waits for a slot: 2 of 2 are in use, MLX_MAX_CONCURRENT is 2" in why


def test_a_task_behind_the_limit_over_all_servers_names_that_one(
    kos: Kos, slots: Slots, task_id: str
) -> None:
    hold(slots, "mlx", "other:1")
    hold(slots, "ollama", "second:1", "third:1")

    why = kos("why", task_id).out

    assert (
        "waits for a slot: 3 of 3 over all backends are in use, SMART_WORKER_MAX_CONCURRENT is 3"
        in why
    )


def test_a_task_that_finds_a_free_slot_is_next(kos: Kos, slots: Slots, task_id: str) -> None:
    hold(slots, "mlx", "other:1")

    why = kos("why", task_id).out

    assert "a worker takes it next: 1 of 2 slots are in use" in why


def test_a_heavy_model_waits_for_the_heavy_models_alone(
    kos: Kos, slots: Slots, task_id: str, postgres_url: str
) -> None:
    kos.setenv("ADAPTIVE_MAX_HEAVY_MLX", "1")
    assert slots.acquire("mlx", "other:1", heavy=True, limit=9).granted
    light = kos("why", task_id).out
    with rows(postgres_url):
        fetch_all("UPDATE kos_blocks SET heavy = true")

    heavy = kos("why", task_id).out

    assert "waits for a slot: 1 of 1 are in use, 1 of 2: heavy models at most 1" in heavy
    assert "a worker takes it next: 1 of 2 slots are in use" in light
