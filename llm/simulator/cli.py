"""The command line: `python -m llm.simulator --kind ollama --port 11434`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import signal
import sys
from collections.abc import Sequence

from llm.simulator.profiles import KINDS, ProfileError, ServerProfile, load_profile
from llm.simulator.server import Simulator


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Exit code 2 for wrong input, 4 when the port is taken."""
    options = _parser().parse_args(arguments)
    try:
        profile = load_profile(options.kind, options.profile)
    except ProfileError as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    if not 0 < options.time_scale < math.inf:
        print("simulator: --time-scale must be a number above 0", file=sys.stderr)
        return 2
    try:
        asyncio.run(_serve(options, profile))
    except OSError as error:
        print(f"simulator: cannot listen on port {options.port}: {error}", file=sys.stderr)
        return 4
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m llm.simulator", description=__doc__)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--profile", help="a JSON file, or a built-in name such as 'instant'")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 picks a free port")
    parser.add_argument("--time-scale", type=float, default=1.0, help="20 is twenty times as fast")
    parser.add_argument("--seed", type=int, default=0, help="of the dice for fault rates")
    parser.add_argument("--fault-models", action="store_true", help="list the fault-* models")
    parser.add_argument("--lifeline", action="store_true", help="end when standard input closes")
    return parser


async def _serve(options: argparse.Namespace, profile: ServerProfile) -> None:
    simulator = Simulator(
        profile,
        kind=options.kind,
        host=options.host,
        port=options.port,
        time_scale=options.time_scale,
        seed=options.seed,
        lists_faults=options.fault_models,
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if options.lifeline:
        await _watch_lifeline(stop)
    url = await simulator.start()
    print(f"simulator {options.kind} listening on {url}", flush=True)
    gc.freeze()
    await stop.wait()
    await simulator.stop()


async def _watch_lifeline(stop: asyncio.Event) -> None:
    """Stop when the parent process closes the other end, which also happens when it dies."""

    class Lifeline(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            stop.set()

    await asyncio.get_running_loop().connect_read_pipe(Lifeline, sys.stdin)
