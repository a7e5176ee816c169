"""Starts the servers under comparison as processes on free loopback ports."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RunningServer:
    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def rss_bytes(self) -> int:
        """Resident memory of the process."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def cpu_seconds(self) -> float:
        """Processor time the process has used, all threads."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def logged(self, text: str) -> int:
        """How many lines of the log contain ``text``."""
        return sum(text in line for line in self.log.read_text(errors="replace").splitlines())


@contextmanager
def our_server(models: Path, log: Path, **settings: object) -> Iterator[RunningServer]:
    """Our server; ``settings`` are its MLX_ variables in lower case."""
    port = free_port()
    command = [sys.executable, "-m", "llm.mlx_server", "--port", str(port)]
    command += ["--models-dir", str(models)]
    extra = {f"MLX_{name.upper()}": str(value) for name, value in settings.items()}
    with _process("ours", command, port, log, extra) as server:
        _await_url(f"http://127.0.0.1:{port}/ready", server)
        yield server


@contextmanager
def stock_server(model: Path, log: Path) -> Iterator[RunningServer]:
    """``mlx_lm.server`` with its backlog raised, ``model`` loaded."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.mlx_server.stock_server"]
    command += ["--model", str(model), "--port", str(port)]
    command += ["--host", "127.0.0.1", "--log-level", "INFO"]
    with _process("stock", command, port, log, {"HF_HUB_OFFLINE": "1"}) as server:
        _await_url(f"http://127.0.0.1:{port}/health", server)
        yield server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _process(
    name: str, command: list[str], port: int, log: Path, extra: dict[str, str]
) -> Iterator[RunningServer]:
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=sink, stderr=sink, env={**os.environ, **extra}
        )
        try:
            yield RunningServer(name, port, process, log)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await_url(url: str, server: RunningServer) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RuntimeError(f"{server.name} ended: {server.log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"{server.name} did not start in {START_SECONDS} s")
