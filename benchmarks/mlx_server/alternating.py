"""Two models in turn, 16 requests in flight, 128 in all: loads and throughput against stock.

    python -m benchmarks.mlx_server.alternating [--rounds 3]

The stock server keeps one model and loads the other whenever the next request asks for it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import tempfile
from pathlib import Path

from benchmarks.mlx_server.load import chat_body, run_load
from benchmarks.mlx_server.servers import RunningServer, our_server, stock_server
from tests.support.tiny_models import build_llama, build_qwen

IN_FLIGHT = 16
REQUESTS = 128
MAX_TOKENS = 64

_numbers = itertools.count()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)
        build_llama(models / "first")
        build_qwen(models / "second")
        rates: dict[str, list[float]] = {"ours": [], "stock": []}
        loads: dict[str, list[int]] = {"ours": [], "stock": []}
        for _ in range(rounds):  # fresh processes: the loads of a whole run are counted
            with our_server(models, models / "ours.log", max_concurrent=IN_FLIGHT) as server:
                rates["ours"].append(_alternate(server, ["first", "second"]))
                loads["ours"].append(server.logged("model_loaded"))
            with stock_server(models / "first", models / "stock.log") as server:
                names = [str(models / "first"), str(models / "second")]
                rates["stock"].append(_alternate(server, names))
                loads["stock"].append(server.logged("model_loaded"))
    _print(rates, loads)


def _alternate(server: RunningServer, models: list[str]) -> float:
    bodies = [
        chat_body(
            models[n % 2], f"question {next(_numbers):06d}", max_tokens=MAX_TOKENS, stream=False
        )
        for n in range(REQUESTS)
    ]
    result = asyncio.run(run_load(server.port, bodies, in_flight=IN_FLIGHT))
    assert not result.failures, result.failures[:3]
    assert result.statuses == {200: REQUESTS}, result.statuses
    return float(result.tokens_per_second)


def _print(rates: dict[str, list[float]], loads: dict[str, list[int]]) -> None:
    for name in rates:
        text = [round(rate) for rate in rates[name]]
        print(f"{name:5}: tokens/s {text}, loads {loads[name]}")
    ratio = statistics.median(rates["ours"]) / statistics.median(rates["stock"])
    print(f"throughput ours/stock {ratio:.1f}")


if __name__ == "__main__":
    main()
