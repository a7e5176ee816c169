"""One model, 16 requests at once: raw BatchGenerator, our server, the stock server, interleaved.

Also the latency of a single request. Prints the median of every figure and the ratios.

    python benchmarks/mlx_server/throughput.py [--rounds 5] [--hidden 128] [--layers 4]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from load import LoadResult, chat_body, run_load  # noqa: E402
from servers import RunningServer, our_server, stock_server  # noqa: E402

from tests.support.tiny_models import build_llama  # noqa: E402

IN_FLIGHT = 16
MAX_TOKENS = 128
REQUESTS = 64
SINGLE_REQUESTS = 20

_numbers = itertools.count()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)
        build_llama(models / "one", hidden=options.hidden, layers=options.layers)
        with (
            our_server(models, models / "ours.log", max_concurrent=IN_FLIGHT) as ours,
            stock_server(models / "one", models / "stock.log") as stock,
        ):
            figures = _measure(models, ours, stock, rounds=options.rounds)
    _print(figures)


def _measure(
    models: Path, ours: RunningServer, stock: RunningServer, *, rounds: int
) -> dict[str, list[float]]:
    names = {"ours": (ours, "one"), "stock": (stock, "default_model")}
    figures: dict[str, list[float]] = {}
    for server, model in names.values():  # warm: compile kernels, load the model
        _load(server, model, requests=IN_FLIGHT, in_flight=IN_FLIGHT, stream=True)
    for _ in range(rounds):
        figures.setdefault("raw tokens/s", []).append(_raw(models / "one"))
        for name, (server, model) in names.items():
            for stream in (False, True):
                kind = "streamed" if stream else "whole"
                many = _load(server, model, requests=REQUESTS, in_flight=IN_FLIGHT, stream=stream)
                one = _load(server, model, requests=SINGLE_REQUESTS, in_flight=1, stream=stream)
                _add(figures, f"{name} {kind} tokens/s", many.tokens_per_second)
                _add(figures, f"{name} {kind} single ms", one.median_latency * 1000)
                if stream:
                    _add(figures, f"{name} first token ms", one.median_first_token * 1000)
    return figures


def _load(
    server: RunningServer, model: str, *, requests: int, in_flight: int, stream: bool
) -> LoadResult:
    bodies = [
        chat_body(model, _new_text(), max_tokens=MAX_TOKENS, stream=stream) for _ in range(requests)
    ]
    result = asyncio.run(run_load(server.port, bodies, in_flight=in_flight))
    assert not result.failures, result.failures[:3]
    assert result.statuses == {200: requests}, result.statuses
    return result


def _new_text() -> str:
    """A prompt never sent before: the stock server keeps whole prompts and would skip the work."""
    return f"question number {next(_numbers):06d}"


def _raw(model: Path) -> float:
    """Tokens per second of BatchGenerator alone, with the same prompts, in a fresh process."""
    script = Path(__file__).with_name("raw_generator.py")
    command = [sys.executable, str(script), str(model)]
    command += [str(each) for each in (REQUESTS, IN_FLIGHT, MAX_TOKENS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return float(done.stdout.split()[-1])


def _add(figures: dict[str, list[float]], name: str, value: float) -> None:
    figures.setdefault(name, []).append(value)


def _print(figures: dict[str, list[float]]) -> None:
    median = {name: statistics.median(values) for name, values in figures.items()}
    for name, values in figures.items():
        print(f"{name:26} median {median[name]:9.1f}   {[round(v, 1) for v in values]}")
    raw = median["raw tokens/s"]
    for kind in ("whole", "streamed"):
        mine, theirs = median[f"ours {kind} tokens/s"], median[f"stock {kind} tokens/s"]
        print(f"{kind}: ours/raw {mine / raw:.3f}   ours/stock {mine / theirs:.3f}")
        mine, theirs = median[f"ours {kind} single ms"], median[f"stock {kind} single ms"]
        print(f"{kind}: single-request latency ours/stock {mine / theirs:.3f}")
    first = median["ours first token ms"] / median["stock first token ms"]
    print(f"first token ours/stock {first:.3f}")


if __name__ == "__main__":
    main()
