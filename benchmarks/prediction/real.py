"""The whole system on two simulated servers: its own forecast, and ``kos simulate`` beside it.

The servers (4 slots, one resident model each, times scaled) run a first round, from which the
planner learns, and a second round that is measured: from the insert to the last completion, with
the predicted end after 10, 50 and 90 % of its tasks. Then the same tasks, with the times they
really took, run on the virtual clock.
"""

from __future__ import annotations

import json
import time
from typing import Any

from benchmarks.prediction.errors import MOMENTS
from benchmarks.systems import lone_system
from console.operations import outlook
from console.operations.history import workload_of_history
from jobs.settings.load import load
from jobs.simulation.simulate import simulate
from models import database
from tests.support.system import System

SLOTS = 4
DISPATCH_AHEAD = 2
INSERT = """
INSERT INTO tasks (title, description, metadata)
SELECT 'Task ' || n, 'Write about subject number ' || n || ' of round ' || %(round)s,
  jsonb_build_object('category', (ARRAY['fast','fast','default','coding','reasoning'])[1 + n %% 5],
                     'max_tokens', 400)
FROM generate_series(1, %(tasks)s) AS n
"""


def main(tasks: int, *, time_scale: float, as_json: bool) -> None:
    with lone_system(
        profile=_profile(),
        time_scale=time_scale,
        SMART_WORKER_MAX_CONCURRENT=str(2 * SLOTS),
        ADAPTIVE_OLLAMA_MAX=str(SLOTS),
        MLX_MAX_CONCURRENT=str(SLOTS),
    ) as system:
        system.start()
        _round(system, 1, tasks)
        system.stop("control")
        system.start("control")
        loads_before = _loads(system)
        seconds, errors = _watched_round(system, tasks)
        with database.session():
            workload = workload_of_history(load(system.environ), limit=tasks)
        predicted = simulate(workload, dispatch_ahead=DISPATCH_AHEAD)
        loads = _loads(system) - loads_before
    figures: dict[str, Any] = {
        "tasks": tasks,
        "real_seconds": round(seconds, 2),
        "predicted_seconds": round(predicted.makespan_seconds, 2),
        "ratio": round(seconds / predicted.makespan_seconds, 3),
        "loads": loads,
        "predicted_loads": predicted.reloads,
        "errors_of_the_end": errors,
    }
    print(json.dumps(figures) if as_json else _table(figures))


def _round(system: System, number: int, tasks: int) -> float:
    began = time.monotonic()
    system.sql(INSERT, {"round": number, "tasks": tasks})
    _wait_for(system, number * tasks)
    return time.monotonic() - began


def _watched_round(system: System, tasks: int) -> tuple[float, dict[str, float]]:
    """Seconds of the second round, and by the part that was done the error of the end, as a part of
    what was really left."""
    settings, began = load(system.environ), time.monotonic()
    system.sql(INSERT, {"round": 2, "tasks": tasks})
    guesses: dict[float, tuple[float, float]] = {}
    for part in MOMENTS:
        done = tasks + part * tasks
        _wait_for(system, done)
        with database.session():
            waiting = system.counts().get("pending", 0)
            end = outlook.forecast_of(outlook.open_work(), settings, waiting=waiting).end()
        guesses[part] = time.monotonic() - began, end.middle if end else 0.0
    _wait_for(system, 2 * tasks)
    seconds = time.monotonic() - began
    errors = {
        f"{part:.0%}": round(abs(at + left - seconds) / (seconds - at), 3)
        for part, (at, left) in guesses.items()
    }
    return seconds, errors


def _wait_for(system: System, completed: float) -> None:
    system.wait(lambda: system.counts().get("completed", 0) >= completed, deadline_seconds=600)


def _loads(system: System) -> int:
    return sum(server.stats()["loads"] for server in (system.ollama, system.mlx))


def _profile() -> dict[str, Any]:
    """One file for both servers: light and heavy models, a few seconds an answer at scale 20."""

    def model(name: str, parameters: int, load_seconds: float, rate: float) -> dict[str, Any]:
        return {
            "name": name,
            "size_bytes": parameters // 2,
            "parameters": parameters,
            "quantization": "Q4_0",
            "family": "llama",
            "context_tokens": 32768,
            "capabilities": ["completion"],
            "load_seconds": load_seconds,
            "prefill_tokens_per_second": 800,
            "decode_tokens_per_second": rate,
        }

    return {
        "slots": SLOTS,
        "server_slots": SLOTS,
        "max_resident_models": 1,
        "keep_alive_seconds": 0,
        "models": [
            model("qwen2.5:3b", 3_000_000_000, 20, 8),
            model("qwen2.5-coder:32b", 32_000_000_000, 60, 4),
        ],
    }


def _table(figures: dict[str, Any]) -> str:
    return "\n".join(f"{name:<22} {value}" for name, value in figures.items())
