"""What the measurements of the gateway share: a deployment of real programs, and its callers."""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from console.home import free_port
from tests.support.embedded import fresh_database, postgres_server, redis_server
from tests.support.system import System, running_system

MODEL: dict[str, Any] = {
    "size_bytes": 4_000_000_000, "parameters": 7_000_000_000, "context_tokens": 32_768,
    "capabilities": ["completion"], "prefill_tokens_per_second": 2000,
}  # fmt: skip
START_SECONDS = 180.0
KEY = f"sk-{secrets.token_hex(32)}"
"""What callers show everywhere; LiteLLM's proxy does not start without one."""
HEADERS = {"authorization": f"Bearer {KEY}"}


@contextmanager
def deployment(
    directory: Path,
    *,
    profile: Mapping[str, Any] | str,
    slots: int,
    time_scale: float = 1.0,
    environ: Mapping[str, str] | None = None,
) -> Iterator[tuple[System, str]]:
    """A system with its simulators and the gateway, and the gateway's address."""
    port = free_port()
    settings = {
        "KOS_GATEWAY_PORT": str(port),
        "ADAPTIVE_OLLAMA_MAX": str(slots),
        "ADAPTIVE_MLX_SAFE_MAX": str(slots),
        "MLX_MAX_CONCURRENT": str(slots),
        "SMART_WORKER_MAX_CONCURRENT": "400",
        **(environ or {}),
    }
    with (
        postgres_server() as postgres,
        redis_server() as redis,
        running_system(
            fresh_database(postgres.url), redis.url, directory,
            profile=profile, time_scale=time_scale, **settings,
        ) as system,
    ):  # fmt: skip
        system.start("gateway")
        url = f"http://127.0.0.1:{port}"
        system.wait(lambda: _answers(url), what="gateway answers", deadline_seconds=START_SECONDS)
        yield system, url


def chat(model: str, tokens: int) -> dict[str, Any]:
    """A streamed chat in OpenAI's API, which every way to a server speaks."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": "Tell me about lighthouses"}],
        "max_tokens": tokens,
        "stream": True,
    }


def first_token_seconds(session: requests.Session, base: str, body: Mapping[str, Any]) -> float:
    """Until the first event of an answer; comments of the wait are none. Reads to the end."""
    began = time.perf_counter()
    seconds = None
    with session.post(
        f"{base}/v1/chat/completions", json=body, headers=HEADERS, stream=True, timeout=300
    ) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines(chunk_size=None):
            if seconds is None and line.startswith(b"data:"):
                seconds = time.perf_counter() - began
    assert seconds is not None, "an answer without a token"
    return seconds


def quantiles(values: Sequence[float], digits: int = 3) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "n": len(ordered),
        "p50": round(statistics.median(ordered), digits),
        "p95": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))], digits),
        "max": round(ordered[-1], digits),
    }


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=1).ok
    except requests.RequestException:
        return False
