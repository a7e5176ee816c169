"""What a way to the server costs: the first byte, 100 streams at once, and taking turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import requests

from benchmarks.gateway.stage import HEADERS, MODEL, chat, first_token_seconds, quantiles

INSTANT = {
    "slots": 10_000,
    "min_answer_tokens": 2,
    "max_answer_tokens": 2,
    "models": [{**MODEL, "name": "instant", "load_seconds": 0, "decode_tokens_per_second": 0,
                "prefill_tokens_per_second": 0}],
}  # fmt: skip
STEADY = {
    "slots": 200,
    "server_slots": 200,
    "min_answer_tokens": 400,
    "max_answer_tokens": 400,
    "models": [{**MODEL, "name": "steady", "load_seconds": 0, "decode_tokens_per_second": 50}],
}
STREAMS = 100
TOKENS = 400


def first_bytes(ways: Mapping[str, str], *, count: int, runs: int) -> dict[str, Any]:
    """Milliseconds, the ways in turn, so that a drift of the machine meets all; the difference to
    ``direct`` is the median over ``runs`` of the medians."""
    sessions = {way: requests.Session() for way in ways}
    for way, base in ways.items():
        first_token_seconds(sessions[way], base, chat(_name(way, "instant"), 2))
    added: dict[str, list[float]] = {way: [] for way in ways}
    every: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(runs):
        run: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(count):
            for way, base in ways.items():
                body = chat(_name(way, "instant"), 2)
                run[way].append(1000 * first_token_seconds(sessions[way], base, body))
        for way in ways:
            added[way].append(statistics.median(run[way]) - statistics.median(run["direct"]))
            every[way] += run[way]
    return {
        way: {**quantiles(every[way], 2), "added_p50": round(statistics.median(added[way]), 2)}
        for way in ways
    }


def streams(
    ways: Mapping[str, str], processes: Mapping[str, psutil.Process], *, runs: int
) -> dict[str, Any]:
    """Tokens a second of 100 streams against ``direct`` of the same run; the process's cores."""
    ratios: dict[str, list[float]] = {way: [] for way in ways}
    cores: dict[str, list[float]] = {way: [] for way in processes}
    for _ in range(runs):
        direct = _tokens_per_second(ways["direct"], "steady")
        for way, base in ways.items():
            if way == "direct":
                continue
            spent, began = _cpu_seconds(processes[way]), time.monotonic()
            ratios[way].append(_tokens_per_second(base, _name(way, "steady")) / direct)
            used = _cpu_seconds(processes[way]) - spent
            cores[way].append(used / (time.monotonic() - began))
    return {
        way: {
            "through_over_direct": round(statistics.median(ratios[way]), 3),
            "cores": round(statistics.median(cores[way]), 2),
            "mb": round(processes[way].memory_info().rss / 1e6),
        }
        for way in processes
    }


def fairness(url: str, model: str) -> dict[str, Any]:
    """How long one request waits behind 64 of another caller, against the length of a turn."""

    def one(caller: str) -> tuple[float, float]:
        began = time.monotonic()
        answer = requests.post(
            f"{url}/v1/chat/completions",
            json={**chat(model, 50), "stream": False},
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
    turn = statistics.median(whole - wait for wait, whole in others)
    return {
        "waited_seconds": round(waited, 2),
        "busy_waited_seconds_p50": round(statistics.median(wait for wait, _ in others), 2),
        "turn_seconds": round(turn, 2),
    }


def _name(way: str, model: str) -> str:
    """The gateway has two servers with the model; the comparison is with one of them."""
    return f"mlx/{model}" if way == "gateway" else model


def _tokens_per_second(base: str, model: str) -> float:
    def one(_: int) -> int:
        with requests.post(
            f"{base}/v1/chat/completions",
            json=chat(model, TOKENS),
            headers=HEADERS,
            stream=True,
            timeout=300,
        ) as answer:
            answer.raise_for_status()
            return sum(line.startswith(b"data: {") for line in answer.iter_lines())

    began = time.monotonic()
    with ThreadPoolExecutor(STREAMS) as pool:
        tokens = sum(pool.map(one, range(STREAMS)))
    return tokens / (time.monotonic() - began)


def _cpu_seconds(process: psutil.Process) -> float:
    used = process.cpu_times()
    return used.user + used.system
