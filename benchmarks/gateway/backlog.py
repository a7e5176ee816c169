"""A backlog at full tilt on two servers, and people who ask meanwhile.

Through the gateway, straight to a server, and the backlog alone.

One person asks for the backlog's own model every second, another in bursts for a model that is not
in memory. Times are scaled: every load, patience and rate by the same factor.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import requests

from benchmarks.gateway.stage import MODEL, chat, deployment, first_token_seconds, quantiles
from tests.support.system import System

SCALE = 5.0
LOAD_SECONDS = 30 / SCALE
PATIENCE_SECONDS = 10 / SCALE
KEEP_SECONDS = 60 / SCALE
BURST_PAUSE_SECONDS = 150 / SCALE
SLOTS = 4
TASKS = 2000
FLEET = {
    "max_resident_models": 1,
    "slots": SLOTS,
    "server_slots": SLOTS,
    "min_answer_tokens": 60,
    "max_answer_tokens": 100,
    "models": [
        {**MODEL, "name": name, "load_seconds": 30, "decode_tokens_per_second": 20}
        for name in ("backlog", "chat")
    ],
}
SETTINGS = {
    # No more is let in than a server does at once: else the wait is in its queue, not in ours.
    "SMART_WORKER_MAX_CONCURRENT": f"{SLOTS}",
    "MLX_MAX_CACHED_MODELS": "1",
    "KOS_INTERACTIVE_PATIENCE_SECONDS": f"{PATIENCE_SECONDS:g}",
    "KOS_INTERACTIVE_KEEP_SECONDS": f"{KEEP_SECONDS:g}",
    "KOS_HEARTBEAT_SECONDS": "1",
    "KOS_DISPATCH_AHEAD": "2",
}
INSERT = (
    "INSERT INTO tasks (title, description, metadata) SELECT 'Task ' || n, "
    "'Summarise topic ' || n, '{\"preferred_model\": \"backlog\"}' "
    "FROM generate_series(1, %s) AS n"
)


def backlog(directory: Path, way: str, seconds: float) -> dict[str, Any]:
    """``way``: ``alone`` (nobody asks), ``gateway`` or ``direct``."""
    with deployment(directory, profile=FLEET, slots=SLOTS, time_scale=SCALE, environ=SETTINGS) as (
        system,
        url,
    ):
        base = url if way == "gateway" else system.ollama.url
        idle = [] if way == "alone" else _idle(base)
        system.sql(INSERT, (TASKS,))
        system.start("control", "llm-ollama", "llm-mlx", "listener")
        system.wait(
            lambda: system.counts().get("completed", 0) > 4 * SLOTS,
            deadline_seconds=300, what="the backlog at full tilt",
        )  # fmt: skip
        people = [] if way == "alone" else [_Person(base, "backlog"), _Person(base, "chat")]
        loads, before, began = _loads(system), _completed(system), time.monotonic()
        for person in people:
            person.start()
        time.sleep(seconds)
        done, elapsed = _completed(system) - before, time.monotonic() - began
        for person in people:
            person.stop()
        return {
            "tasks_per_second": round(done / elapsed, 2),
            "idle_first_token_seconds": quantiles(idle) if idle else None,
            **{f"{p.model}_first_token_seconds": quantiles(p.first) for p in people if p.first},
            "bursts": sum(person.bursts for person in people),
            "loads": _loads(system) - loads,
            "seconds_used_by_people": _used_by_people(system),
            "slot_seconds": round(2 * SLOTS * elapsed, 1),
            **_harm(system),
        }


class _Person(threading.Thread):
    """Asks again and again: for the resident model every second, for another in bursts of three."""

    def __init__(self, base: str, model: str) -> None:
        super().__init__()
        self.model = model
        self.first: list[float] = []
        self.bursts = 0
        self._base = base
        self._ended = threading.Event()

    def run(self) -> None:
        with requests.Session() as session:
            while not self._ended.is_set():
                if self.model == "backlog":
                    self._ask(session)
                    self._ended.wait(1.0)
                else:
                    self._burst(session)
                    self._ended.wait(BURST_PAUSE_SECONDS)

    def stop(self) -> None:
        self._ended.set()
        self.join(120)

    def _burst(self, session: requests.Session) -> None:
        """The first of a burst waits for the load; it is what is measured."""
        self.bursts += 1
        self._ask(session)
        for _ in range(2):
            if not self._ended.wait(0.5):
                first_token_seconds(session, self._base, chat(self.model, 20))

    def _ask(self, session: requests.Session) -> None:
        self.first.append(first_token_seconds(session, self._base, chat(self.model, 20)))


def _idle(base: str) -> list[float]:
    """First tokens of the loaded model while nothing else runs."""
    with requests.Session() as session:
        first_token_seconds(session, base, chat("backlog", 20))
        return [first_token_seconds(session, base, chat("backlog", 20)) for _ in range(20)]


def _completed(system: System) -> int:
    return system.counts().get("completed", 0)


def _loads(system: System) -> int:
    return sum(
        model["loads"]
        for server in (system.ollama, system.mlx)
        for model in server.stats()["models"].values()
    )


def _used_by_people(system: System) -> float:
    rows = system.sql(
        "SELECT coalesce(sum(duration_seconds - queue_seconds), 0) AS seconds FROM kos_requests"
    )
    return round(float(rows[0]["seconds"]), 1)


def _harm(system: System) -> dict[str, int]:
    rows = system.sql(
        "SELECT (SELECT count(*) FROM tasks WHERE status = 'failed' OR crash_count > 0) AS failed, "
        "(SELECT count(*) FROM kos_attempts WHERE outcome = 'interrupted') AS interrupted, "
        "(SELECT count(*) FROM (SELECT task_id FROM kos_attempts WHERE outcome = 'completed' "
        "GROUP BY 1 HAVING count(*) > 1) AS twice) AS doubled, "
        "(SELECT count(*) FROM tasks) AS tasks"
    )
    return dict(rows[0])
