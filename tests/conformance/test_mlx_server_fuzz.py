"""Hostile requests never crash or hang the server; benchmarks/mlx_server sends 2,000 of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.mlx_fuzz import FuzzTally, HostileRequest, hostile_requests, send
from tests.support.mlx_servers import RunningMLXServer, build_models, mlx_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMLXServer]:
    models = build_models(tmp_path_factory.mktemp("models"))
    with mlx_server(models, default_max_tokens=16, max_body_bytes=2**20) as running:
        yield running


@settings(max_examples=150, derandomize=True, suppress_health_check=list(HealthCheck))
@given(request_=hostile_requests())
def test_no_request_crashes_or_hangs_it(server: RunningMLXServer, request_: HostileRequest) -> None:
    send(server.port, request_, FuzzTally())


def test_afterwards_it_is_idle_and_serves(server: RunningMLXServer) -> None:
    server.wait_until(lambda health: health["active_requests"] + health["queue_size"] == 0)
    body = {"model": "llama", "prompt": "hello", "stream": False, "options": {"num_predict": 4}}
    assert server.post("/api/generate", body).status_code == 200
    assert server.health()["totals"]["broken_batches"] == 0
