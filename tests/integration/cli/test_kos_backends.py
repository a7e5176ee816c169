from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from console.web.figures.scan import last
from jobs.admission.limits import Limit
from jobs.admission.slots import Slots
from jobs.queues.names import BREAKERS, LIMITS
from llm import breaker
from llm.breaker import BreakerPhase, BreakerState
from tests.integration.cli.command_line import Kos
from tests.support.simulators import simulator

FIELDS = {
    "name", "kind", "url", "healthy", "error", "models", "resident", "in_flight", "limit",
    "limit_reason", "breaker", "simulated", "holds",
}  # fmt: skip


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as found:
        yield found


def of(kos: Kos, name: str) -> dict[str, Any]:
    listed = kos("backends", "--json").json
    assert all(set(row) == FIELDS for row in listed)
    found: dict[str, Any] = next(row for row in listed if row["name"] == name)
    return found


def test_a_server_that_answers_lists_its_models(kos: Kos) -> None:
    with simulator("ollama") as server:
        kos.setenv("OLLAMA_API_URL", server.url)

        row = of(kos, "ollama")

    assert row["healthy"]
    assert row["error"] is None
    assert row["models"]
    assert row["url"] == server.url


def test_a_server_that_holds_fewer_models_than_configured_is_named(
    kos: Kos, client: redis.Redis
) -> None:
    kept = {"models": 1, "loaded": "b:8b", "removed": "a:8b", "together_bytes": None}
    client.set("kos:holds:mlx", json.dumps(kept))
    try:
        assert of(kos, "mlx")["holds"] == kept
        assert of(kos, "ollama")["holds"] is None
        assert "loading b:8b removed a:8b" in " ".join(kos("backends").err.split())
    finally:
        client.delete("kos:holds:mlx")


def test_a_server_that_is_away_is_an_error_not_an_empty_list(kos: Kos) -> None:
    row = of(kos, "mlx")

    assert not row["healthy"]
    assert "unreachable" in row["error"]
    assert kos("backends").code == 0


def test_a_server_that_went_away_after_the_scan_is_not_healthy(kos: Kos) -> None:
    with simulator("ollama") as server:
        kos.setenv("OLLAMA_API_URL", server.url)
        before = of(kos, "ollama")

    after = of(kos, "ollama")

    assert (before["healthy"], after["healthy"]) == (True, False)
    assert after["models"] == before["models"]


def test_the_scan_that_is_shared_classes_models_by_the_catalog_of_the_site(
    kos: Kos, client: redis.Redis
) -> None:
    catalog = kos.files / "catalog.toml"
    catalog.write_text("[classes]\nheavy_bytes = 1\n")
    kos.setenv("KOS_CATALOG_FILE", str(catalog))
    with simulator("ollama") as server:
        kos.setenv("OLLAMA_API_URL", server.url)

        kos("backends", "--refresh")

    scan = last(client)
    found = scan.server("ollama") if scan else None
    assert found is not None
    assert found.models
    assert all(model.heavy for model in found.models)


def test_limits_slots_and_breakers_are_read_from_redis(kos: Kos, client: redis.Redis) -> None:
    decided = Limit(slots=3, heavy=1, reason="RAM at 88 %", decided_at=time.time())
    client.hset(LIMITS, "mlx", json.dumps(asdict(decided)))
    opened = BreakerState(
        phase=BreakerPhase.OPEN, failures=3, trips=1, opened_at=datetime.now(UTC),
        retry_at=datetime.now(UTC), reason="timeout: no token",
    )  # fmt: skip
    client.hset(BREAKERS, "mlx", breaker.dumps(opened))
    client.hset(BREAKERS, "ollama|qwq:32b", breaker.dumps(opened))
    slots = Slots(client)
    assert slots.acquire("mlx", "task:1", limit=3).granted

    row, told = of(kos, "mlx"), kos("backends")

    assert (row["limit"], row["limit_reason"]) == (3, "RAM at 88 %")
    assert row["in_flight"] == 1
    assert row["breaker"] == "open"
    assert "ollama with qwq:32b: breaker open, timeout: no token" in told.err


def test_a_paused_backend_says_so_until_it_is_resumed(kos: Kos) -> None:
    paused = kos("pause", "mlx", "--json")
    during = of(kos, "mlx")
    kos("resume", "mlx")
    after = of(kos, "mlx")

    assert paused.json == {"backend": "mlx", "paused": True}
    assert (during["limit"], "kos resume mlx" in during["limit_reason"]) == (0, True)
    assert after["limit"] > 0


def test_an_unknown_backend_is_named_with_a_near_one(kos: Kos) -> None:
    ran = kos("pause", "olama")

    assert ran.code == 2
    assert "did you mean ollama?" in ran.err


def test_a_server_that_vanishes_from_the_list_of_models_is_refreshed(kos: Kos) -> None:
    assert of(kos, "ollama")["models"] == []
    with simulator("ollama") as server:
        kos.setenv("OLLAMA_API_URL", server.url)

        refreshed = kos("backends", "--refresh", "--json").json

    assert next(row for row in refreshed if row["name"] == "ollama")["models"]
