"""An MLX API server for tests: a real process on a free loopback port, gone afterwards."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.support.model_servers import model_server
from tests.support.polling import pauses
from tests.support.programs import Program
from tests.support.tiny_models import build_llama, build_qwen, build_unbatchable

START_DEADLINE_SECONDS = 60.0
STOP_DEADLINE_SECONDS = 20.0
CALL_DEADLINE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RunningMLXServer:
    """A running server. ``process`` may be signalled or killed by a test."""

    url: str
    process: Program

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=CALL_DEADLINE_SECONDS)

    def post(self, path: str, body: Any, **options: Any) -> requests.Response:
        options.setdefault("timeout", CALL_DEADLINE_SECONDS)
        return requests.post(self.url + path, json=body, **options)

    def health(self) -> dict[str, Any]:
        said: dict[str, Any] = self.get("/health").json()
        return said

    def wait_until(
        self, holds: Callable[[dict[str, Any]], bool], *, deadline_seconds: float = 60.0
    ) -> dict[str, Any]:
        """The first health for which ``holds`` is true; AssertionError after the deadline."""
        end = time.monotonic() + deadline_seconds
        for pause in pauses():
            health = self.health()
            if holds(health):
                break
            assert time.monotonic() < end, f"never so within {deadline_seconds} s: {health}"
            time.sleep(pause)
        return health

    def rss_bytes(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)


def build_models(folder: Path) -> Path:
    """The models most tests use: llama and qwen (batched), solo (not), base (no template)."""
    build_llama(folder / "llama")
    build_qwen(folder / "qwen")
    build_unbatchable(folder / "solo")
    build_llama(folder / "base", chat_template=None, seed=3)
    build_llama(folder / "thinker", thinking=True, seed=4)
    (folder / "aliases.toml").write_text('[aliases]\nnick = "llama"\n[categories]\nfast = "qwen"\n')
    return folder


@contextmanager
def mlx_server(models: Path, *, port: int = 0, **settings: object) -> Iterator[RunningMLXServer]:
    """Start a server and end it by its process id; ``settings`` are ``MLX_`` variables.

    The process also ends if this one dies.
    """
    with model_server(
        "llm.mlx_server",
        *("--port", str(port)),
        *("--models-dir", str(models)),
        environ={**os.environ, **{f"MLX_{name.upper()}": str(v) for name, v in settings.items()}},
        start_seconds=START_DEADLINE_SECONDS,
        stop_seconds=STOP_DEADLINE_SECONDS,
    ) as (url, process):
        yield RunningMLXServer(url, process)
