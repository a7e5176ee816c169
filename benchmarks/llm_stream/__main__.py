"""The client's own CPU for each streamed token, guards included, beside a bare requests stream.

    python -m benchmarks.llm_stream [--streams 200] [--tokens 500] [--repeats 5]

The server is a simulator in a process of its own; only this process's CPU is counted. Bare and
guarded runs alternate, so that a busy machine slows both. Prints one JSON document:

- `as_sent`: the server sends as fast as it can, tokens arrive some dozens at a time
- `paced`: 40 tokens a second and stream, each arrives alone and wakes its thread
- `parsing`: no network: framing, JSON, wire format and guards alone, beside `json.loads`
- `leaks`: threads and open files before, and after 1,000 calls on 32 threads
- `lateness`: how long after its deadline, or a cancel, a call on a hanging server ends
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from benchmarks.llm_stream.lateness import lateness
from benchmarks.llm_stream.parsing import parsing_cost
from llm.backends.base import BackendAdapter
from llm.backends.ollama_wire import OllamaChat
from llm.backends.openai_wire import OpenAIChat
from llm.backends.registry import build
from llm.types import BackendKind, BackendSpec, Deadlines, GenerateRequest, Message
from tests.support.simulators import Kind, simulator

MODEL = "bench:1b"
PACED_TOKENS_PER_SECOND = 40
DEADLINES = Deadlines(first_token_seconds=60.0, between_tokens_seconds=60.0, total_seconds=300.0)
LEAK_CALLS = 1000
LEAK_THREADS = 32
SETTLE_SECONDS = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    found: dict[str, Any] = {"streams": options.streams, "as_sent": {}, "paced": {}}
    kinds: tuple[Kind, ...] = ("ollama", "openai")
    for kind in kinds:
        found["as_sent"][kind] = _compare(kind, 0, options.tokens, options)
        found["paced"][kind] = _compare(
            kind, PACED_TOKENS_PER_SECOND, min(options.tokens, 150), options
        )
    found["parsing"] = parsing_cost(repeats=options.repeats)
    found["leaks"] = _leaks()
    found["lateness"] = lateness()
    print(json.dumps(found, indent=2))


def _compare(kind: Kind, rate: int, tokens: int, options: argparse.Namespace) -> dict[str, float]:
    with _server(kind, rate=rate, tokens=tokens) as server:
        backend = _backend(kind, server.url, options.streams)
        request = _request(tokens)
        bare = _bare(kind, server.url, request, options.streams)

        def guarded() -> int:
            return backend.generate(request, deadlines=DEADLINES).completion_tokens

        bare(), guarded()
        costs: dict[str, list[float]] = {"bare": [], "guarded": []}
        for _ in range(options.repeats):
            costs["bare"].append(_cost(bare, options.streams))
            costs["guarded"].append(_cost(guarded, options.streams))
        backend.close()
    medians = {f"{name}_us_per_token": statistics.median(c) for name, c in costs.items()}
    ratio = medians["guarded_us_per_token"] / medians["bare_us_per_token"]
    return {name: round(value, 2) for name, value in {**medians, "ratio": ratio}.items()}


def _cost(call: Callable[[], int], streams: int) -> float:
    """Microseconds of this process's CPU for each token of so many calls at once."""
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(call())) for _ in range(streams)]
    started = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.process_time() - started) / sum(counts) * 1e6


def _bare(kind: Kind, url: str, request: GenerateRequest, streams: int) -> Callable[[], int]:
    """A requests stream with JSON lines and nothing else."""
    wire = OllamaChat() if kind == "ollama" else OpenAIChat()
    body = wire.body(request)
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", HTTPAdapter(pool_maxsize=2 * streams))

    def call() -> int:
        answer = session.post(url + wire.path, json=body, stream=True, timeout=(3.05, 60.0))
        tokens = 0
        for line in answer.iter_lines():
            data = line[6:] if line.startswith(b"data: ") else line
            if data.startswith(b"{"):
                json.loads(data)
                tokens += 1
        return tokens

    return call


def _leaks() -> dict[str, int]:
    with _server("ollama", rate=0, tokens=20) as server:
        before = {"threads_before": threading.active_count(), "files_before": _open_files()}
        backend = _backend("ollama", server.url, LEAK_THREADS)
        request = _request(20)
        with ThreadPoolExecutor(LEAK_THREADS) as pool:
            list(
                pool.map(
                    lambda _: backend.generate(request, deadlines=DEADLINES).completion_tokens,
                    range(LEAK_CALLS),
                )
            )
        backend.close()
        _settle(before)
        after = {"threads_after": threading.active_count(), "files_after": _open_files()}
    return {"calls": LEAK_CALLS, **before, **after}


def _settle(before: dict[str, int]) -> None:
    """The watching thread ends by itself soon after the last call."""
    end = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < end and threading.active_count() > before["threads_before"]:
        time.sleep(0.02)


def _server(kind: Kind, *, rate: int, tokens: int) -> Any:
    profile = {
        "slots": 10_000,
        "queue_limit": 0,
        "keep_alive_seconds": 0,
        "min_answer_tokens": tokens,
        "max_answer_tokens": tokens,
        "default_context_tokens": 32768,
        "models": [
            {"name": MODEL, "context_tokens": 32768, "decode_tokens_per_second": rate},
        ],
    }
    directory = Path(tempfile.mkdtemp(prefix="llm-stream-"))
    return simulator(kind, profile=profile, time_scale=1.0, directory=directory)


def _backend(kind: Kind, url: str, streams: int) -> BackendAdapter:
    spec = BackendSpec("bench", BackendKind(kind), url, max_concurrent=streams)
    return build(spec, environ={})


def _request(tokens: int) -> GenerateRequest:
    text = "Describe at length how the keeper of a lighthouse spends a stormy night."
    return GenerateRequest(MODEL, (Message("user", text),), max_tokens=tokens)


def _open_files() -> int:
    return len(os.listdir("/dev/fd"))


if __name__ == "__main__":
    main()
