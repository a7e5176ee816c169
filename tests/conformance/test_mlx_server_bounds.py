"""What the MLX API server does at its limits: overload, disconnects, drains, stalls, deaths."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.mlx_servers import (
    STOP_DEADLINE_SECONDS,
    RunningMLXServer,
    build_models,
    mlx_server,
)
from tests.support.tiny_models import build_llama

LONG_CONTEXT_TOKENS = 1_000_000


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build_models(tmp_path_factory.mktemp("models"))
    build_llama(folder / "endless", context_tokens=LONG_CONTEXT_TOKENS, seed=9)
    return folder


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[RunningMLXServer]:
    with mlx_server(models, max_context_tokens=LONG_CONTEXT_TOKENS) as running:
        yield running


def _ask(server: RunningMLXServer, model: str = "llama", tokens: int = 8) -> requests.Response:
    return server.post("/api/chat", _body(model, tokens, stream=False))


def _body(model: str, tokens: int, *, stream: bool) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": "hello"}],
        "stream": stream,
        "options": {"num_predict": tokens, "temperature": 0},
    }


def _endless() -> dict[str, Any]:
    """A bias against the end token keeps a random model talking."""
    return {
        "model": "endless",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 500_000,
        "temperature": 0,
        "logit_bias": {"0": -100},
    }


class TestOverload:
    def test_what_does_not_fit_in_the_queue_gets_503_and_retry_after(
        self, models: Path, tmp_path: Path
    ) -> None:
        freeze = tmp_path / "freeze"
        bounds: dict[str, Any] = {"max_concurrent": 2, "max_queue": 3, "test_freeze_file": freeze}
        with mlx_server(models, **bounds) as server, ThreadPoolExecutor(9) as callers:
            freeze.touch()
            held = [callers.submit(_ask, server) for _ in range(5)]
            server.wait_until(lambda h: h["active_requests"] + h["queue_size"] == 5)

            refused = [_ask(server) for _ in range(4)]

            assert [answer.status_code for answer in refused] == [503] * 4
            assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
            freeze.unlink()
            assert [answer.result().status_code for answer in held] == [200] * 5

    def test_400_simultaneous_connects_meet_no_reset(self, models: Path) -> None:
        with mlx_server(models, max_concurrent=16, max_queue=64) as server:
            _ask(server)
            statuses = _all_at_once(server.port, 400)
            assert set(statuses) <= {200, 503}
            assert sum(statuses.values()) == 400
            assert statuses[200] >= 80
            assert server.health()["status"] == "ok"


class TestDisconnects:
    @pytest.mark.parametrize("stream", [True, False])
    def test_a_caller_that_leaves_frees_its_place(
        self, server: RunningMLXServer, stream: bool
    ) -> None:
        caller = socket.create_connection(("127.0.0.1", server.port))
        caller.sendall(_http("/v1/chat/completions", {**_endless(), "stream": stream}))
        server.wait_until(lambda health: health["active_requests"] == 1)
        resident = server.get("/api/ps").json()["models"]
        assert {each["name"]: each["active_requests"] for each in resident}["endless"] == 1

        caller.close()

        server.wait_until(lambda h: h["active_requests"] == 0 and h["queue_size"] == 0)

    @pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
    def test_a_caller_that_leaves_a_stream_is_no_error_in_the_log(
        self, models: Path, path: str
    ) -> None:
        body = {**_endless(), "options": {"num_predict": 500_000}, "stream": True}
        with mlx_server(models, max_context_tokens=LONG_CONTEXT_TOKENS) as server:
            with server.post(path, body, stream=True) as answer:
                next(answer.iter_lines())
            server.wait_until(lambda health: health["active_requests"] == 0)
            server.process.stop(STOP_DEADLINE_SECONDS)
            log = server.process.log.read_text()
        assert "listening" in log
        assert "Traceback" not in log

    def test_a_caller_that_leaves_the_queue_frees_its_place(
        self, models: Path, tmp_path: Path
    ) -> None:
        freeze = tmp_path / "freeze"
        freeze.touch()
        with mlx_server(models, max_concurrent=1, test_freeze_file=freeze) as server:
            callers = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
            for caller in callers:
                caller.sendall(_http("/api/chat", _body("llama", 8, stream=False)))
            server.wait_until(lambda health: health["queue_size"] == 3)

            for caller in callers:
                caller.close()

            server.wait_until(lambda health: health["queue_size"] == 0)


class TestEnds:
    def test_a_drain_finishes_what_is_inside_and_exits_in_peace(self, models: Path) -> None:
        with mlx_server(models) as server:
            body = {**_endless(), "max_tokens": 400, "stream": True}
            with server.post("/v1/chat/completions", body, stream=True) as answer:
                lines = answer.iter_lines()
                next(lines)
                server.process.send_signal(signal.SIGTERM)
                rest = [line for line in lines if line]
            assert b'"finish_reason":"length"' in rest[-2]
            assert rest[-1] == b"data: [DONE]"
            assert server.process.wait(20) == 0

    def test_a_killed_server_leaves_its_port_to_the_next(self, models: Path) -> None:
        with mlx_server(models) as server:
            port = server.port
            body = {**_endless(), "stream": True}
            answer = server.post("/v1/chat/completions", body, stream=True)
            lines = answer.iter_lines()
            next(lines)
            server.process.kill()
            with pytest.raises(requests.RequestException):
                list(lines)
            server.process.wait(10)
            with mlx_server(models, port=port) as successor:
                assert _ask(successor).status_code == 200


class TestStandstill:
    def test_http_stays_green_while_generation_is_dead_until_the_watchdog_speaks(
        self, models: Path, tmp_path: Path
    ) -> None:
        freeze = tmp_path / "freeze"
        freeze.touch()
        patience: dict[str, Any] = {"watchdog_seconds": 1, "watchdog_exit_seconds": 0}
        with (
            mlx_server(models, test_freeze_file=freeze, **patience) as server,
            ThreadPoolExecutor(1) as caller,
        ):
            answer = caller.submit(_ask, server)
            assert server.wait_until(lambda h: h["queue_size"] == 1)["status"] == "ok"
            assert server.get("/api/tags").status_code == 200

            server.wait_until(lambda health: health["status"] == "stalled")
            assert server.get("/health").status_code == 503
            assert server.get("/ready").status_code == 503

            freeze.unlink()
            assert answer.result().status_code == 200
            server.wait_until(lambda health: health["status"] == "ok")

    def test_a_long_standstill_ends_the_process_for_the_supervisor(
        self, models: Path, tmp_path: Path
    ) -> None:
        freeze = tmp_path / "freeze"
        freeze.touch()
        patience: dict[str, Any] = {"watchdog_seconds": 0.5, "watchdog_exit_seconds": 1}
        with mlx_server(models, test_freeze_file=freeze, **patience) as server:
            with pytest.raises(requests.RequestException):
                _ask(server)
            assert server.process.wait(20) == 70


class TestResidency:
    def test_the_least_recently_used_model_leaves(self, models: Path) -> None:
        with mlx_server(models, max_cached_models=2) as server:
            for model in ("llama", "qwen", "llama", "solo"):
                assert _ask(server, model).status_code == 200
            resident = server.wait_until(lambda health: health["active_requests"] == 0)["models"]
            assert {model["name"] for model in resident} == {"llama", "solo"}

    def test_a_busy_model_cannot_starve_another(self, models: Path) -> None:
        with mlx_server(models, max_cached_models=1, fairness_seconds=0.2) as server:
            enough = threading.Event()
            with ThreadPoolExecutor(4) as callers:
                hogs = [callers.submit(_keep_asking, server, enough) for _ in range(4)]
                server.wait_until(lambda health: health["active_requests"] > 0)
                try:
                    assert _ask(server, "qwen").status_code == 200
                finally:
                    enough.set()
                assert set().union(*(hog.result() for hog in hogs)) == {200}

    def test_a_model_that_cannot_fit_is_refused_with_the_figures(self, models: Path) -> None:
        with mlx_server(models, memory_limit_bytes=600_000) as server:
            answer = _ask(server)
            assert answer.status_code == 500
            assert answer.json()["error"].startswith("failed to load: ")
            assert "MLX_MEMORY_LIMIT_BYTES" in answer.json()["error"]

    def test_a_broken_model_fails_alone(self, models: Path, tmp_path: Path) -> None:
        build_llama(tmp_path / "good")
        build_llama(tmp_path / "broken")
        (tmp_path / "broken" / "model.safetensors").write_bytes(b"not weights")
        (tmp_path / "nonsense").mkdir()
        (tmp_path / "nonsense" / "config.json").write_text("[]")
        (tmp_path / "nonsense" / "model.safetensors").write_bytes(b"x")
        with mlx_server(tmp_path) as server:
            assert _ask(server, "broken").status_code == 500
            assert "failed to load" in _ask(server, "broken").json()["error"]
            assert _ask(server, "nonsense").status_code == 404
            assert _ask(server, "good").status_code == 200

    def test_a_broken_tokenizer_fails_its_model_before_the_weights_are_read(
        self, tmp_path: Path
    ) -> None:
        build_llama(tmp_path / "mute")
        (tmp_path / "mute" / "tokenizer.json").write_text("no tokenizer")
        with mlx_server(tmp_path) as server:
            load = {"model": "mute", "prompt": "", "stream": False}
            for refused in (server.post("/api/generate", load), _ask(server, "mute")):
                assert refused.status_code == 500
                assert refused.json()["error"].startswith("failed to load the tokenizer")
            assert server.health()["totals"]["loads"] == 0

    def test_preloaded_models_are_there_before_ready(self, models: Path) -> None:
        with mlx_server(models, preload_models="qwen, no-such-model, llama") as server:
            server.wait_until(lambda _: server.get("/ready").status_code == 200)
            resident = {model["name"] for model in server.health()["models"]}
            assert resident == {"llama", "qwen"}


def _keep_asking(server: RunningMLXServer, enough: threading.Event) -> set[int]:
    statuses = set()
    while not enough.is_set():
        statuses.add(_ask(server, "llama", 40).status_code)
    return statuses


def _http(path: str, body: dict[str, Any]) -> bytes:
    payload = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(payload)}\r\n\r\n"
    return head.encode() + payload


def _all_at_once(port: int, count: int) -> Counter[int]:
    """Connect ``count`` times before reading anything; the statuses that came back."""
    request = _http("/api/chat", _body("llama", 16, stream=False))
    callers = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(count)]
    for caller in callers:
        caller.sendall(request)
    statuses: Counter[int] = Counter()
    for caller in callers:
        with caller:
            statuses[int(caller.recv(65_536).split(b" ", 2)[1])] += 1
    return statuses
