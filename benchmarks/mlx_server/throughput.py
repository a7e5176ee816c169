"""One model, 16 requests at once: raw BatchGenerator, our server, the stock server, interleaved.

Also the latency of a single request. Prints the median of every figure and the ratios.

    python -m benchmarks.mlx_server.throughput [--rounds 5] [--hidden 128] [--layers 4]
    python -m benchmarks.mlx_server.throughput --real --requests 32 --singles 3

``--real`` takes SmolLM2-135M-Instruct: ours as it is stored, the others with float32 weights, which
is what ours holds in memory too. All three multiply by OpenBLAS. On a busy machine set
MLX_CPU_THREADS=1 for all: ours follows the load, the others keep two threads that spin.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from benchmarks.mlx_server.load import LoadResult, answer_tokens, chat_body, run_load
from benchmarks.mlx_server.real_model import float32_copy
from benchmarks.mlx_server.servers import RunningServer, our_server, stock_server
from tests.support.real_model import NAME, real_models
from tests.support.tiny_models import build_llama

IN_FLIGHT = 16

_numbers = itertools.count()

Figures = dict[str, list[float]]
Servers = tuple[tuple[RunningServer, str], ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--requests", type=int, default=160)
    parser.add_argument("--singles", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "one"
        if options.real:
            models, model = real_models(), NAME
            float32_copy(models / model, other)
        else:
            models, model = other.parent, other.name
            build_llama(other, hidden=options.hidden, layers=options.layers)
        with (
            our_server(models, other.with_suffix(".ours"), max_concurrent=IN_FLIGHT) as ours,
            stock_server(other, other.with_suffix(".stock")) as stock,
        ):
            servers = ((ours, model), (stock, "default_model"))
            figures = _measure(options, servers, other)
    _print(figures)


def _measure(options: argparse.Namespace, servers: Servers, raw_model: Path) -> Figures:
    for server, model in servers:  # warm: compile kernels, load the model
        _load(server, model, requests=IN_FLIGHT, in_flight=IN_FLIGHT, stream=True)
    figures: Figures = defaultdict(list)
    for number in range(options.rounds):
        figures["raw tokens/s"].append(_raw(raw_model, options.requests))
        for stream in (False, True):
            # Who goes first changes: a burst of foreign load must not always hit the same one.
            for server, model in servers if number % 2 else servers[::-1]:
                _measure_one(figures, options, server, model, stream=stream)
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    return figures


def _measure_one(
    figures: Figures,
    options: argparse.Namespace,
    server: RunningServer,
    model: str,
    *,
    stream: bool,
) -> None:
    name = f"{server.name} {'streamed' if stream else 'whole'}"
    before = server.cpu_seconds()
    many = _load(server, model, requests=options.requests, in_flight=IN_FLIGHT, stream=stream)
    spent = server.cpu_seconds() - before
    one = _load(server, model, requests=options.singles, in_flight=1, stream=stream)
    figures[f"{name} tokens/s"].append(many.tokens_per_second)
    figures[f"{name} CPU ms/token"].append(spent * 1000 / many.completion_tokens)
    figures[f"{name} single ms"].append(one.median_latency * 1000)
    if stream:
        figures[f"{name} first token ms"].append(one.median_first_token * 1000)


def _load(
    server: RunningServer, model: str, *, requests: int, in_flight: int, stream: bool
) -> LoadResult:
    bodies = [
        chat_body(model, _new_text(), max_tokens=answer_tokens(n), stream=stream)
        for n in range(requests)
    ]
    result = asyncio.run(run_load(server.port, bodies, in_flight=in_flight))
    assert not result.failures, result.failures[:3]
    assert result.statuses == {200: requests}, result.statuses
    return result


def _new_text() -> str:
    """A prompt never sent before: the stock server keeps whole prompts and would skip the work."""
    return f"{next(_numbers):06d} is the number of this question"


def _raw(model: Path, requests: int) -> float:
    """Tokens per second of BatchGenerator alone, with prompts alike, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.mlx_server.raw_generator", str(model)]
    command += [str(each) for each in (requests, IN_FLIGHT)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
    return float(done.stdout.split()[-1])


def _print(figures: Figures) -> None:
    for name, values in figures.items():
        text = " ".join(f"{value:.3g}" for value in values)
        print(f"{name:30} median {statistics.median(values):9.4g}   {text}")
    print("ratios (median of the rounds' ratios):")
    for kind in ("whole", "streamed"):
        rate = f"ours {kind} tokens/s"
        print(f"{kind:9} tokens/s     ours/raw   {_ratio(figures, rate, 'raw tokens/s'):.3f}")
        for what in ("tokens/s", "CPU ms/token", "single ms", "first token ms"):
            mine, theirs = f"ours {kind} {what}", f"stock {kind} {what}"
            if mine in figures:
                print(f"{kind:9} {what:12} ours/stock {_ratio(figures, mine, theirs):.3f}")


def _ratio(figures: Figures, mine: str, theirs: str) -> float:
    pairs = zip(figures[mine], figures[theirs], strict=True)
    return statistics.median(ours / other for ours, other in pairs)


if __name__ == "__main__":
    main()
