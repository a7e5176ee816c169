"""Memory of the MLX server over 500 requests to SmolLM2-135M, 16 in flight.

    python -m benchmarks.mlx_server.steady [--requests 500]

Prompts and answers of many lengths, four experts (system prompts that are kept as prefixes), a
schema now and then. Exits 1 if memory grew after the first fifth.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.mlx_server.load import chat_body, run_load
from benchmarks.mlx_server.servers import RunningServer, our_server
from tests.support.real_model import NAME, real_models

IN_FLIGHT = 16
PARTS = 5
BOUND = 1.05
EXPERTS = [f"You are expert {name}. You answer every question in one short sentence. " * 3
           for name in ("Anna", "Boris", "Clara", "David")]  # fmt: skip
SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string", "maxLength": 12}},
    "required": ["word"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=500)
    requests = parser.parse_args().requests
    with (
        tempfile.TemporaryDirectory() as folder,
        our_server(real_models(), Path(folder) / "ours.log", max_concurrent=IN_FLIGHT) as server,
    ):
        sizes = [_part(server, requests, part) for part in range(PARTS)]
    ratio = sizes[-1] / sizes[0]
    print(f"resident memory, last fifth / first fifth: {ratio:.3f} (bound {BOUND})")
    return 0 if ratio <= BOUND else 1


def _part(server: RunningServer, requests: int, part: int) -> int:
    """A fifth of the requests; resident bytes afterwards."""
    count = requests // PARTS
    bodies = [_body(part * count + number) for number in range(count)]
    began = time.monotonic()
    result = asyncio.run(run_load(server.port, bodies, in_flight=IN_FLIGHT))
    assert not result.failures, result.failures[:3]
    assert result.statuses == {200: count}, result.statuses
    memory, rss = _memory(server), server.rss_bytes()
    print(
        f"{(part + 1) * count:4} requests: {rss / 2**20:7.1f} MB resident, "
        f"{memory['active_bytes'] / 2**20:6.1f} MB of MLX, {result.completion_tokens} tokens in "
        f"{time.monotonic() - began:.0f} s",
        flush=True,
    )
    return rss


def _body(number: int) -> dict[str, Any]:
    text = f"{number}. " + "Say it in other words: the server keeps its memory. " * (number % 6)
    body = chat_body(NAME, text, max_tokens=4 + number * 7 % 21, stream=number % 2 == 0)
    if number % 3 == 0:
        body["messages"].insert(0, {"role": "system", "content": EXPERTS[number % 4]})
    if number % 10 == 0:
        body["response_format"] = {"type": "json_schema", "json_schema": {"schema": SCHEMA}}
    return body


def _memory(server: RunningServer) -> dict[str, int]:
    url = f"http://127.0.0.1:{server.port}/health"
    with urllib.request.urlopen(url, timeout=30) as answer:
        said: dict[str, Any] = json.load(answer)
    return dict(said["memory"])


if __name__ == "__main__":
    sys.exit(main())
