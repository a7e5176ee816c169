"""``python -m benchmarks.gateway``: the gateway against direct calls, side by side in one run.

1. ``overhead``: first byte at an instant server, and 100 streams at once: direct, through the
   gateway, and through LiteLLM's proxy where ``--litellm DIRECTORY`` names its environment (made
   there if it is not). One caller with 64 requests beside one with a single one.
2. ``backlog``: 2,000 tasks on two simulated servers and people who ask meanwhile: first tokens,
   what the backlog lost, loads.
3. ``interruptions``: a thousand interruptions, and what became of the tasks.
4. ``javascript``: the official clients of npm, where node is.
5. ``hostile``: thousands of hostile requests, their statuses, and the memory that they leave.

All on loopback, against our own simulator. Medians of ``--runs``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from benchmarks.gateway.backlog import backlog
from benchmarks.gateway.hostile import hostile
from benchmarks.gateway.interruptions import interruptions
from benchmarks.gateway.javascript import javascript
from benchmarks.gateway.litellm_proxy import litellm_proxy
from benchmarks.gateway.overhead import INSTANT, STEADY, fairness, first_bytes, streams
from benchmarks.gateway.stage import deployment
from models import database

PARTS = ("overhead", "backlog", "interruptions", "javascript", "hostile")


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for part in options.parts or PARTS:
            for figures in _measured(part, directory, options):
                print(json.dumps(figures, indent=2), flush=True)
    database.close_all()


def _measured(part: str, directory: Path, options: argparse.Namespace) -> Any:
    if part == "overhead":
        yield {"first_byte_ms": _first_bytes(directory, options)}
        yield {"100_streams": _streams(directory, options)}
        with deployment(directory, profile=STEADY, slots=8) as (_, url):
            yield {"fairness": fairness(url, "mlx/steady")}
    elif part == "backlog":
        for way in ("alone", "gateway", "direct"):
            yield {f"backlog_{way}": backlog(directory, way, options.backlog_seconds)}
    elif part == "hostile":
        yield {"hostile": hostile(directory, options.hostile)}
    elif part == "javascript":
        yield {"javascript": javascript(directory)}
    else:
        found = interruptions(
            directory, options.interruptions, within_seconds=options.interruption_seconds
        )
        yield {"interruptions": found}


def _first_bytes(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    with ExitStack() as stack:
        system, url = stack.enter_context(deployment(directory, profile=INSTANT, slots=200))
        ways = {"direct": system.mlx.url, "gateway": url}
        if options.litellm:
            proxy = litellm_proxy(options.litellm, model="instant", server=system.mlx.url)
            ways["litellm"] = stack.enter_context(proxy)
        return first_bytes(ways, count=options.requests, runs=options.runs)


def _streams(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    with ExitStack() as stack:
        system, url = stack.enter_context(deployment(directory, profile=STEADY, slots=200))
        ways = {"direct": system.mlx.url, "gateway": url}
        processes = {"gateway": psutil.Process(system.programs["gateway"].pid)}
        if options.litellm:
            proxy = litellm_proxy(options.litellm, model="steady", server=system.mlx.url)
            ways["litellm"] = stack.enter_context(proxy)
            processes["litellm"] = _listening(ways["litellm"])
        return streams(ways, processes, runs=options.runs)


def _listening(url: str) -> psutil.Process:
    port = int(url.rpartition(":")[2])
    pids = [
        found.pid
        for found in psutil.net_connections("tcp")
        if found.status == psutil.CONN_LISTEN and tuple(found.laddr)[1:] == (port,) and found.pid
    ]
    return psutil.Process(pids[0])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.gateway", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--litellm", type=Path, metavar="DIRECTORY")
    parser.add_argument("--backlog-seconds", type=float, default=150.0)
    parser.add_argument("--hostile", type=int, default=2000, metavar="REQUESTS")
    parser.add_argument("--interruptions", type=int, default=1000)
    parser.add_argument("--interruption-seconds", type=float, default=600.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
