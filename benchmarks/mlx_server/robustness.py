"""Fuzz, connection storm and load/unload cycles against one server, with its memory watched.

    python -m benchmarks.mlx_server.robustness [--requests 2000]

Prints what came back and how memory moved; exits 1 if a bound is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings

from benchmarks.mlx_server.load import LoadResult, chat_body, one_request
from benchmarks.mlx_server.servers import RunningServer, our_server
from tests.support.mlx_fuzz import FuzzTally, HostileRequest, hostile_requests, send
from tests.support.mlx_servers import build_models

CONNECTS = 400
CYCLES = 20
SETTLE_SECONDS = 20.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = build_models(Path(folder))
        limits = {"max_concurrent": 16, "max_queue": 64, "default_max_tokens": 16}
        with our_server(models, models / "ours.log", **limits) as server:
            good = [
                _fuzz(server, options.requests),
                _storm(server),
                _cycles(server),
                _get(server, "/health")["status"] == "ok",
            ]
    print("all bounds held" if all(good) else "A BOUND IS BROKEN")
    return 0 if all(good) else 1


def _fuzz(server: RunningServer, count: int) -> bool:
    _hostile(server, count // 2)  # warm: kernels, tokenizers, bounded caches, the largest bodies
    before = _settled_rss(server)
    started = time.perf_counter()
    statuses = _hostile(server, count)
    seconds = time.perf_counter() - started
    after = _settled_rss(server)
    print(f"fuzz: {count} requests in {seconds:.0f} s, statuses {dict(sorted(statuses.items()))}")
    print("      (0: closed without an answer, -1: the caller hung up first)")
    return _grew("fuzz", before, after, at_most=1.10)


def _hostile(server: RunningServer, count: int) -> Counter[int]:
    tally = FuzzTally()

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(request=hostile_requests())
    def run(request: HostileRequest) -> None:
        send(server.port, request, tally)

    run()
    return tally.statuses


def _storm(server: RunningServer) -> bool:
    """400 connects at once: 16 run, 64 wait, the rest is sent away; three times over."""
    peaks = []
    for _ in range(3):
        result = LoadResult()
        asyncio.run(_connect_all(server.port, result))
        peaks.append(server.rss_bytes())
        refused = result.statuses.get(503, 0)
        print(
            f"storm: {CONNECTS} connects, statuses {result.statuses}, resets "
            f"{len(result.failures)}, Retry-After on {result.retry_after} of {refused} refusals"
        )
        if result.failures or result.retry_after != refused:
            return False
    return _grew("storm", peaks[0], peaks[-1], at_most=1.05)


async def _connect_all(port: int, result: LoadResult) -> None:
    bodies = [chat_body("llama", f"storm {n}", max_tokens=32, stream=True) for n in range(CONNECTS)]
    await asyncio.gather(*(one_request(port, body, result) for body in bodies))


def _cycles(server: RunningServer) -> bool:
    sizes = []
    for _ in range(CYCLES + 1):
        body = {"model": "llama", "prompt": "x", "stream": False, "options": {"num_predict": 8}}
        _post(server, "/api/generate", body)
        _post(server, "/api/generate", {"model": "llama", "keep_alive": 0})
        _wait_until_unloaded(server, "llama")
        sizes.append((_get(server, "/health")["memory"]["active_bytes"], server.rss_bytes()))
    active = (sizes[0][0], sizes[-1][0])
    print(f"cycles: {CYCLES} loads and unloads, MLX bytes {active[0]} -> {active[1]}")
    return _grew("cycles", sizes[0][1], sizes[-1][1], at_most=1.05)


def _grew(name: str, before: int, after: int, *, at_most: float) -> bool:
    ratio = after / before
    held = ratio <= at_most
    print(
        f"{name}: resident memory {before / 2**20:.1f} -> {after / 2**20:.1f} MB, ratio "
        f"{ratio:.3f} (bound {at_most}) {'ok' if held else 'BROKEN'}"
    )
    return held


def _settled_rss(server: RunningServer) -> int:
    """Memory once nothing is inside any more."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        health = _get(server, "/health")
        if not health["active_requests"] and not health["queue_size"]:
            break
        time.sleep(0.05)
    return server.rss_bytes()


def _wait_until_unloaded(server: RunningServer, name: str) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while name in {model["name"] for model in _get(server, "/health")["models"]}:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{name} stays in memory")
        time.sleep(0.01)


def _get(server: RunningServer, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=30) as answer:
        document: dict[str, Any] = json.load(answer)
    return document


def _post(server: RunningServer, path: str, body: dict[str, Any]) -> None:
    url = f"http://127.0.0.1:{server.port}{path}"
    with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=30) as answer:
        answer.read()


if __name__ == "__main__":
    sys.exit(main())
