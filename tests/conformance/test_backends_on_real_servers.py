"""The adapters against servers that really generate: the MLX API server and stock mlx-lm.

The models are tiny and random: their text is gibberish, so an answer may rightly be judged bad.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from llm import errors
from llm.backends.base import BackendAdapter
from llm.backends.registry import Backends, build
from llm.scanner import Scanner
from llm.types import (
    BackendKind,
    BackendSpec,
    CancelToken,
    Completion,
    Deadlines,
    GenerateRequest,
    GenerationProgress,
    Message,
    Phase,
    Sampling,
)
from tests.support.mlx_servers import build_models, mlx_server
from tests.support.tiny_models import build_llama

DEADLINES = Deadlines(
    connect_seconds=2.0,
    load_seconds=30.0,
    first_token_seconds=30.0,
    between_tokens_seconds=10.0,
    total_seconds=60.0,
)
PROMPT = "Explain how a lighthouse works."
PAIRS = [
    ("mlx-api", BackendKind.MLX),
    ("mlx-api", BackendKind.OLLAMA),
    ("mlx-api", BackendKind.OPENAI),
    ("stock", BackendKind.MLX),
    ("stock", BackendKind.OPENAI),
]


@dataclass(frozen=True, slots=True)
class RealServer:
    name: str
    url: str
    model: str


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RealServer]]:
    folder = tmp_path_factory.mktemp("models")
    stock_model = build_llama(tmp_path_factory.mktemp("stock") / "llama")
    with mlx_server(build_models(folder)) as ours, stock_server(stock_model) as stock:
        yield {"mlx-api": RealServer("mlx-api", ours.url, "llama"), "stock": stock}


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0]}-{pair[1].value}")
def pair(
    request: pytest.FixtureRequest, servers: dict[str, RealServer]
) -> Iterator[tuple[RealServer, BackendAdapter]]:
    name, kind = request.param
    server = servers[name]
    backend = build(BackendSpec("real", kind, server.url), environ={})
    yield server, backend
    backend.close()


class StockServer:
    """`mlx_lm.server` as it comes."""

    def __init__(self, model: Path) -> None:
        self._port = _free_port()
        (model.parent / "hub").mkdir()  # without a hub cache its list of models fails
        command = [sys.executable, "-m", "mlx_lm", "server", "--model", str(model)]
        command += ["--host", "127.0.0.1", "--port", str(self._port), "--log-level", "ERROR"]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(model.parent)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._model = model

    def __enter__(self) -> RealServer:
        url = f"http://127.0.0.1:{self._port}"
        probe = build(BackendSpec("probe", BackendKind.MLX, url), environ={})
        end = time.monotonic() + 60.0
        while not probe.health().reachable:
            assert time.monotonic() < end, "the stock server did not start"
            assert self.process.poll() is None, "the stock server ended"
            time.sleep(0.05)
        probe.close()
        return RealServer("stock", url, str(self._model))

    def __exit__(self, *exc_info: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def stock_server(model: Path) -> StockServer:
    return StockServer(model)


def ask(model: str, **changes: Any) -> GenerateRequest:
    request = GenerateRequest(
        model=model, messages=(Message("user", PROMPT),), max_tokens=24, sampling=Sampling(0.0)
    )
    return replace(request, **changes)


def test_an_answer_arrives_with_its_figures(pair: tuple[RealServer, BackendAdapter]) -> None:
    server, backend = pair
    seen: list[GenerationProgress] = []

    completion = backend.generate(ask(server.model), deadlines=DEADLINES, on_progress=seen.append)

    assert completion.text.strip()
    assert completion.finish_reason in ("stop", "length")
    assert 0 < completion.completion_tokens <= 24
    assert completion.prompt_tokens
    assert seen[-1].phase is Phase.DECODING


def test_greedy_answers_repeat_on_a_reused_connection(
    pair: tuple[RealServer, BackendAdapter],
) -> None:
    server, backend = pair

    texts = {backend.generate(ask(server.model), deadlines=DEADLINES).text for _ in range(3)}

    assert len(texts) == 1


def test_the_server_tells_models_and_health(pair: tuple[RealServer, BackendAdapter]) -> None:
    server, backend = pair

    assert backend.health().reachable
    assert backend.version()
    names = [model.name for model in backend.list_models()]
    assert server.model in names or server.name == "stock"  # the stock one lists its hub cache


@pytest.mark.parametrize("kind", [BackendKind.MLX, BackendKind.OLLAMA], ids=lambda kind: kind.value)
def test_our_server_tells_how_many_requests_a_model_has(
    servers: dict[str, RealServer], kind: BackendKind
) -> None:
    server = servers["mlx-api"]
    backend = build(BackendSpec("real", kind, server.url), environ={})
    backend.preload(server.model, deadlines=DEADLINES)

    told = {model.name: model.active_requests for model in backend.resident_models()}

    assert told[server.model] == 0
    backend.close()


def test_a_model_is_loaded_and_unloaded(pair: tuple[RealServer, BackendAdapter]) -> None:
    server, backend = pair

    assert backend.preload(server.model, deadlines=DEADLINES) >= 0.0
    backend.canary(server.model)
    backend.unload(server.model)
    assert backend.generate(ask(server.model), deadlines=DEADLINES).text


def test_many_at_once_end_in_answers_or_mapped_errors(
    pair: tuple[RealServer, BackendAdapter],
) -> None:
    server, backend = pair
    ended: list[Completion | errors.LLMError] = []

    def work(number: int) -> None:
        request = ask(server.model, messages=(Message("user", f"{PROMPT} {number}"),))
        try:
            ended.append(backend.generate(request, deadlines=DEADLINES))
        except errors.LLMError as exc:
            ended.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90.0)

    assert len(ended) == 8
    assert not any(isinstance(one, errors.PoisonedCall) for one in ended), ended
    assert any(isinstance(one, Completion) for one in ended)


def test_a_cancelled_call_ends_within_a_second_and_the_server_lives(
    pair: tuple[RealServer, BackendAdapter],
) -> None:
    server, backend = pair
    cancel = CancelToken()

    def stop_when_decoding(progress: GenerationProgress) -> None:
        if progress.phase is Phase.DECODING:
            cancel.cancel("lease lost")

    with pytest.raises(errors.CallCancelled):
        backend.generate(
            ask(server.model, max_tokens=1500),
            deadlines=DEADLINES,
            cancel=cancel,
            on_progress=stop_when_decoding,
        )
    assert backend.generate(ask(server.model), deadlines=DEADLINES).text


@pytest.mark.parametrize("kind", list(BackendKind), ids=lambda kind: kind.value)
def test_an_unknown_model_is_told_as_such(
    servers: dict[str, RealServer], kind: BackendKind
) -> None:
    backend = build(BackendSpec("real", kind, servers["mlx-api"].url), environ={})

    with pytest.raises(errors.ModelNotFound):
        backend.generate(ask("no-such-model:7b"), deadlines=DEADLINES)
    backend.close()


@pytest.mark.parametrize("kind", list(BackendKind), ids=lambda kind: kind.value)
def test_a_model_that_cannot_chat_is_asked_for_elsewhere(
    servers: dict[str, RealServer], kind: BackendKind
) -> None:
    backend = build(BackendSpec("real", kind, servers["mlx-api"].url), environ={})

    with pytest.raises(errors.ModelNotFound, match="no chat template"):
        backend.generate(ask("base"), deadlines=DEADLINES)
    backend.close()


@pytest.mark.parametrize("kind", [BackendKind.MLX, BackendKind.OLLAMA], ids=lambda kind: kind.value)
def test_a_model_that_cannot_chat_is_not_offered(
    servers: dict[str, RealServer], kind: BackendKind
) -> None:
    spec = BackendSpec("real", kind, servers["mlx-api"].url)
    (server,) = Scanner(Backends([spec], environ={})).scan().servers

    broken = {model.name: model.broken for model in server.models or () if model.broken}
    assert broken == {"base": "cannot chat: it offers raw"}


@pytest.mark.parametrize("kind", list(BackendKind), ids=lambda kind: kind.value)
def test_a_broken_tokenizer_is_a_failure_of_the_model_alone(
    tmp_path: Path, kind: BackendKind
) -> None:
    build_llama(tmp_path / "mute")
    (tmp_path / "mute" / "tokenizer.json").write_text("no tokenizer")
    with mlx_server(tmp_path) as server:
        backend = build(BackendSpec("real", kind, server.url), environ={})

        with pytest.raises(errors.LoadFailed):
            backend.generate(ask("mute"), deadlines=DEADLINES)
        backend.close()


@pytest.mark.parametrize("kind", list(BackendKind), ids=lambda kind: kind.value)
def test_a_server_killed_in_the_middle_is_a_mapped_error(tmp_path: Path, kind: BackendKind) -> None:
    build_llama(tmp_path / "llama")
    with mlx_server(tmp_path) as server:
        backend = build(BackendSpec("real", kind, server.url), environ={})
        request = ask("llama", max_tokens=1800, sampling=Sampling(1.0, seed=1))

        def kill_when_decoding(progress: GenerationProgress) -> None:
            if progress.phase is Phase.DECODING:
                server.process.kill()

        with pytest.raises(errors.TransientError) as caught:
            backend.generate(request, deadlines=DEADLINES, on_progress=kill_when_decoding)
        assert isinstance(caught.value, errors.StreamBroken | errors.TruncatedStream)
        assert not backend.health().reachable
        backend.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
