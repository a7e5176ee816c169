"""SmolLM2-135M at 1, 8 and 16 streams: with OpenBLAS, without it, and the stock server with it.

    python -m benchmarks.mlx_server.blas [--rounds 3] [--max-tokens 24]

Wall time of whole requests through the server; weights are float32 everywhere. The three are
measured in turn and the order changes every round; a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from benchmarks.mlx_server.load import chat_body, run_load
from benchmarks.mlx_server.real_model import float32_copy
from benchmarks.mlx_server.servers import RunningServer, our_server, stock_server
from tests.support.real_model import NAME, real_models

STREAMS = (1, 8, 16)
OURS, BEFORE, STOCK = "OpenBLAS", "BLAS of mlx-cpu", "stock, OpenBLAS"

_numbers = itertools.count()

Rates = dict[tuple[str, int], list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-tokens", type=int, default=24)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, models = Path(name), real_models()
        float32_copy(models / NAME, folder / "stock")
        ours = our_server(models, folder / "ours.log", max_concurrent=max(STREAMS))
        before = our_server(
            models,
            folder / "before.log",
            max_concurrent=max(STREAMS),
            cpu_openblas="false",
            watchdog_seconds=600,  # a prompt takes it longer than a healthy server may be silent
            watchdog_exit_seconds=0,
        )
        servers = {
            OURS: (stack.enter_context(ours), NAME),
            BEFORE: (stack.enter_context(before), NAME),
            STOCK: (
                stack.enter_context(stock_server(folder / "stock", folder / "stock.log")),
                "default_model",
            ),
        }
        _print(_measure(servers, options.rounds, options.max_tokens))


def _measure(servers: dict[str, tuple[RunningServer, str]], rounds: int, max_tokens: int) -> Rates:
    for server, model in servers.values():  # warm: the model is loaded
        _rate(server, model, streams=1, max_tokens=2)
    rates: Rates = defaultdict(list)
    for number in range(rounds):
        for streams in STREAMS:
            for name in list(servers) if number % 2 else list(servers)[::-1]:
                rate = _rate(*servers[name], streams=streams, max_tokens=max_tokens)
                rates[name, streams].append(rate)
                print(f"round {number + 1}: {name}, {streams}: {rate:.3g}", file=sys.stderr)
    return rates


def _rate(server: RunningServer, model: str, *, streams: int, max_tokens: int) -> float:
    """Tokens per second of ``streams`` requests that are sent at once."""
    bodies = [
        chat_body(model, f"{next(_numbers)}", max_tokens=max_tokens, stream=False)
        for _ in range(streams)
    ]
    for body in bodies:  # short: without OpenBLAS, it is the prompt that takes the time
        body["messages"].insert(0, {"role": "system", "content": "Count up."})
    result = asyncio.run(run_load(server.port, bodies, in_flight=streams))
    assert not result.failures, result.failures[:3]
    assert result.statuses == {200: streams}, result.statuses
    return result.tokens_per_second


def _print(rates: Rates) -> None:
    for (name, streams), values in rates.items():
        shown = " ".join(f"{value:.3g}" for value in values)
        print(f"{name:16} {streams:2} streams: median {statistics.median(values):6.3g}   {shown}")
    for other in (BEFORE, STOCK):
        for streams in STREAMS:
            pairs = zip(rates[OURS, streams], rates[other, streams], strict=True)
            ratio = statistics.median(ours / theirs for ours, theirs in pairs)
            print(f"{OURS} / {other}, {streams} streams: {ratio:.2f}")


if __name__ == "__main__":
    main()
