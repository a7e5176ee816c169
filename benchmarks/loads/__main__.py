"""Loads that we recorded against loads that the server did, with a stranger using it beside us.

    python -m benchmarks.loads [--runs 10] [--tasks 12]

A simulated Ollama that holds two models and does what real ones do: it compares the context that
was requested, reports some loading for warm models, and shares a runner among names of one blob.
Every run mixes models, names and contexts by a seed of its own, in tasks and in chats through the
gateway; a stranger meanwhile asks for a model of his own every few seconds, which drives one of
ours out. Exits 1 where a count differs.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from benchmarks.gateway.stage import deployment
from tests.support.system import System

STRANGER = "of-a-stranger"
MODEL: dict[str, Any] = {
    "parameters": 3_000_000_000, "context_tokens": 8192, "load_seconds": 2.0,
    "prefill_tokens_per_second": 2000, "decode_tokens_per_second": 60,
}  # fmt: skip
SERVER: dict[str, Any] = {
    "max_resident_models": 2,
    "slots": 2,
    "strict_order": True,
    "compares_requested_context": True,
    "warm_load_seconds": 0.3,
    "min_answer_tokens": 20,
    "max_answer_tokens": 90,
    "models": [
        {"name": "one", "blob": "sha256-1", **MODEL},
        {"name": "one-again", "blob": "sha256-1", **MODEL},
        {"name": "two", **MODEL},
        {"name": "three", **MODEL},
        {"name": STRANGER, "capabilities": ["embedding", "completion"], **MODEL},
    ],
}
OURS = ("one", "one-again", "two", "three")
CONTEXTS = (4096, 4096, 16384)  # the last is above what the models were trained for
RUN_SECONDS = 300.0
RECORDED_SECONDS = 5.0
"""A load inside a chat is recorded after its answer."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--tasks", type=int, default=12)
    options = parser.parse_args()
    wrong = 0
    environ = {"MLX_API_URL": "off", "SMART_WORKER_MAX_CONCURRENT": "4"}
    with (
        tempfile.TemporaryDirectory(prefix="kos-bench-") as scratch,
        deployment(Path(scratch), profile=SERVER, slots=4, environ=environ) as (system, gateway),
    ):
        system.start("control", "listener", "llm-ollama")
        for seed in range(options.runs):
            wrong += not _counts_alike(system, gateway, seed, options.tasks)
    print("every load was counted once" if not wrong else f"{wrong} RUNS DIFFER")
    return 1 if wrong else 0


def _counts_alike(system: System, gateway: str, seed: int, tasks: int) -> bool:
    dice = random.Random(seed)
    recorded, done = _recorded(system), _done(system)
    over = threading.Event()
    asked: list[int] = []
    chats: list[int] = []
    beside = [
        threading.Thread(target=_ask, args=(url, names, dice.random(), over, answers))
        for url, names, answers in (
            (system.ollama.url, [STRANGER], asked), (gateway, OURS, chats)
        )
    ]  # fmt: skip
    for thread in beside:
        thread.start()
    try:
        ids = [_insert(system, dice, number) for number in range(tasks)]
        system.wait(
            lambda: all(system.task(i)["status"] == "completed" for i in ids),
            deadline_seconds=RUN_SECONDS,
            what="all completed",
        )
    finally:
        over.set()
        for thread in beside:
            thread.join()
    deadline = time.monotonic() + RECORDED_SECONDS
    while (new_recorded := _recorded(system) - recorded) != (new_done := _done(system) - done):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    print(
        f"run {seed}: {tasks} tasks, {len(chats)} chats, {len(asked)} requests of the stranger; "
        f"loads recorded {new_recorded}, done for us {new_done}",
        flush=True,
    )
    if new_recorded != new_done:
        _explain(system, recorded)
    return new_recorded == new_done


def _insert(system: System, dice: random.Random, number: int) -> str:
    metadata = {"preferred_model": dice.choice(OURS), "num_ctx": dice.choice(CONTEXTS)}
    return system.insert(f"Note {number}", "Say a word.", metadata=metadata)


def _ask(
    url: str, models: Sequence[str], seed: float, over: threading.Event, answers: list[int]
) -> None:
    dice = random.Random(seed)
    while not over.wait(dice.uniform(1.0, 6.0)):
        body = {"model": dice.choice(models), "prompt": "Hello", "stream": False}
        answers.append(requests.post(f"{url}/api/generate", json=body, timeout=120).status_code)


def _explain(system: System, after: int) -> None:
    rows = system.sql("SELECT * FROM kos_loads ORDER BY id OFFSET %s", (after,))
    for row in rows:
        print("  recorded", row["model"], row["num_ctx"], round(row["seconds"], 2), row["cause"])
    for name, figures in system.ollama.stats(journal=0)["models"].items():
        print("  the server counts in all", name, figures["loads"])


def _recorded(system: System) -> int:
    return int(system.sql("SELECT count(*) AS n FROM kos_loads")[0]["n"])


def _done(system: System) -> int:
    """What the server says it loaded for others than the stranger."""
    models = system.ollama.stats(journal=0)["models"]
    return sum(figures["loads"] for name, figures in models.items() if name != STRANGER)


if __name__ == "__main__":
    sys.exit(main())
