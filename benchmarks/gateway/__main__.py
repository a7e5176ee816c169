"""``python -m benchmarks.gateway``: the gateway against direct calls, side by side in one run.

1. Overhead: first byte through the gateway less first byte of a direct call to an instant server,
   request by request in turn; 100 streams at once, tokens a second through / direct.
2. Backlog: a backlog at full tilt on one simulated server, and requests of a person every few
   seconds: first token of a resident model and of one that must be loaded, through the gateway and
   straight to the server; what the backlog lost; loads.
3. Fairness: one caller with 64 streams, one with a single request.

All on loopback, against our own simulator. Medians of ``--runs``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests

from console.home import free_port
from models import database
from tests.support.embedded import fresh_database, postgres_server, redis_server
from tests.support.system import System, running_system

MODEL: dict[str, Any] = {
    "size_bytes": 4_000_000_000, "parameters": 7_000_000_000, "context_tokens": 32_768,
    "capabilities": ["completion"], "prefill_tokens_per_second": 2000,
}  # fmt: skip
FLEET: dict[str, Any] = {
    "max_resident_models": 1,
    "slots": 8,
    "models": [
        {"name": "backlog", "load_seconds": 4, "decode_tokens_per_second": 40, **MODEL},
        {"name": "chat", "load_seconds": 4, "decode_tokens_per_second": 40, **MODEL},
    ],
}
STEADY: dict[str, Any] = {
    "slots": 200,
    "min_answer_tokens": 200,
    "max_answer_tokens": 200,
    "models": [{"name": "steady", "load_seconds": 0, "decode_tokens_per_second": 50, **MODEL}],
}


def main() -> None:
    options = _options()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as directory:
        with deployment(Path(directory), profile="instant") as (system, url):
            figures["first_byte_ms"] = _first_bytes(system, url, options.requests, options.runs)
        with deployment(Path(directory), profile=STEADY) as (system, url):
            figures["100_streams"] = _streams(system, url, options.runs)
        with deployment(Path(directory), profile=STEADY, slots=8) as (_, url):
            figures["fairness"] = _fairness(url)
        figures["backlog"] = {
            way: _backlog(Path(directory), way, options.backlog_seconds)
            for way in ("alone", "gateway", "direct")
        }
    database.close_all()
    print(json.dumps(figures, indent=2))


@contextmanager
def deployment(
    directory: Path, *, profile: Mapping[str, Any] | str, slots: int = 200, **environ: str
) -> Iterator[tuple[System, str]]:
    """A system with one simulated Ollama and the gateway; its address."""
    port = free_port()
    with (
        postgres_server() as postgres,
        redis_server() as redis,
        running_system(
            fresh_database(postgres.url), redis.url, directory, profile=profile, time_scale=1.0,
            KOS_GATEWAY_PORT=str(port), MLX_API_URL="disabled",
            ADAPTIVE_OLLAMA_MAX=str(slots), SMART_WORKER_MAX_CONCURRENT="200", **environ,
        ) as system,
    ):  # fmt: skip
        system.start("gateway")
        url = f"http://127.0.0.1:{port}"
        system.wait(lambda: _answers(url), what="gateway answers")
        yield system, url


def _first_bytes(system: System, url: str, count: int, runs: int) -> dict[str, Any]:
    """Milliseconds to the first byte, in turn, so that a drift of the machine meets both."""
    model = "tinyllama:1.1b-chat"
    through: list[float] = []
    direct: list[float] = []
    with requests.Session() as one, requests.Session() as other:
        for base, session in ((url, one), (system.ollama.url, other)):
            _first_byte(session, base, model)
        for _ in range(count * runs):
            through.append(_first_byte(one, url, model) * 1000)
            direct.append(_first_byte(other, system.ollama.url, model) * 1000)
    return {
        "gateway": _quantiles(through),
        "direct": _quantiles(direct),
        "added_p50": round(statistics.median(through) - statistics.median(direct), 2),
    }


def _first_byte(session: requests.Session, base: str, model: str) -> float:
    began = time.perf_counter()
    with session.post(f"{base}/api/chat", json=_chat(model, 2), stream=True, timeout=30) as answer:
        answer.raise_for_status()
        pieces = answer.iter_content(None)
        next(pieces)
        seconds = time.perf_counter() - began
        list(pieces)
    return seconds


def _streams(system: System, url: str, runs: int) -> dict[str, Any]:
    gateway = psutil.Process(system.programs["gateway"].pid)
    ratios, cores = [], []
    for _ in range(runs):
        direct = _tokens_per_second(system.ollama.url)
        before, began = gateway.cpu_times(), time.monotonic()
        through = _tokens_per_second(url)
        used = gateway.cpu_times()
        spent = used.user + used.system - before.user - before.system
        cores.append(spent / (time.monotonic() - began))
        ratios.append(through / direct)
    return {
        "through_over_direct": round(statistics.median(ratios), 3),
        "gateway_cores": round(statistics.median(cores), 2),
        "gateway_mb": round(gateway.memory_info().rss / 1e6),
    }


def _tokens_per_second(base: str) -> float:
    def one(_: int) -> int:
        with requests.post(
            f"{base}/api/chat", json=_chat("steady", 200), stream=True, timeout=120
        ) as answer:
            return sum(1 for _ in answer.iter_lines())

    began = time.monotonic()
    with ThreadPoolExecutor(100) as pool:
        tokens = sum(pool.map(one, range(100)))
    return tokens / (time.monotonic() - began)


def _fairness(url: str) -> dict[str, Any]:
    """How long one request waits behind 64 of another caller, against the length of a turn."""

    def one(caller: str) -> tuple[float, float]:
        began = time.monotonic()
        answer = requests.post(
            f"{url}/api/chat",
            json=_chat("steady", 20) | {"stream": False},
            headers={"x-kos-caller": caller},
            timeout=300,
        )
        answer.raise_for_status()
        return float(answer.headers["x-kos-queue-seconds"]), time.monotonic() - began

    with ThreadPoolExecutor(64) as pool:
        many = [pool.submit(one, "busy") for _ in range(64)]
        time.sleep(0.5)
        waited, _ = one("seldom")
        others = [future.result() for future in many]
    return {
        "waited_seconds": round(waited, 2),
        "busy_waited_seconds_p50": round(statistics.median(wait for wait, _ in others), 2),
        "a_turn_seconds": round(statistics.median(all_ - wait for wait, all_ in others), 2),
    }


def _backlog(directory: Path, way: str, seconds: float) -> dict[str, Any]:
    """``alone``: nobody chats. Else a person asks for the chat model in bursts."""
    settings = {"KOS_INTERACTIVE_PATIENCE_SECONDS": "5", "KOS_INTERACTIVE_KEEP_SECONDS": "20"}
    with deployment(directory, profile=FLEET, slots=8, **settings) as (system, url):
        system.sql(
            "INSERT INTO tasks (title, description, metadata) SELECT 'Task ' || n, "
            "'Summarise topic ' || n, '{\"preferred_model\": \"backlog\"}' "
            "FROM generate_series(1, 5000) AS n"
        )
        system.start("control", "llm-ollama", "listener")
        system.wait(lambda: system.counts().get("completed", 0) > 20, deadline_seconds=60)
        before, began = system.counts().get("completed", 0), time.monotonic()
        base = url if way == "gateway" else system.ollama.url
        first: list[float] = []
        stop = threading.Event()
        if way != "alone":
            person = threading.Thread(target=_bursts, args=(base, first, stop))
            person.start()
        time.sleep(seconds)
        done = system.counts().get("completed", 0) - before
        elapsed = time.monotonic() - began
        stop.set()
        if way != "alone":
            person.join(60)
        rows = system.sql(
            "SELECT count(*) AS n FROM kos_attempts WHERE outcome NOT IN ('completed') "
            "AND error_code <> 'interrupted'"
        )
        loads = system.sql("SELECT count(*) AS n FROM kos_loads")[0]["n"]
        return {
            "tasks_per_second": round(done / elapsed, 2),
            "first_token_seconds": _quantiles(first) if first else None,
            "requests": len(first),
            "loads": loads,
            "failed_attempts": rows[0]["n"],
        }


def _bursts(base: str, first: list[float], stop: threading.Event) -> None:
    """Three requests two seconds apart, then a pause of half a minute."""
    while not stop.is_set():
        for _ in range(3):
            with requests.Session() as session:
                first.append(_first_byte(session, base, "chat"))
            if stop.wait(2):
                return
        stop.wait(30)


def _chat(model: str, tokens: int) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": "Tell me about lighthouses"}],
        "options": {"num_predict": tokens, "num_ctx": 8192},
    }


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=1).ok
    except requests.ConnectionError:
        return False


def _quantiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 2),
        "p95": round(ordered[int(len(ordered) * 0.95)], 2),
        "max": round(ordered[-1], 2),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.gateway", description=__doc__)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--backlog-seconds", type=float, default=120.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
