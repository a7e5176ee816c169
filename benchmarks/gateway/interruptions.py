"""Interrupts tasks over and over for a person's model, then lets the backlog end and counts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import requests

from benchmarks.gateway.backlog import FLEET, INSERT
from benchmarks.gateway.stage import chat, deployment, first_token_seconds

SLOTS = 8
TASKS = 200
SETTINGS = {
    "KOS_INTERACTIVE_PATIENCE_SECONDS": "0",
    "KOS_INTERACTIVE_KEEP_SECONDS": "0",
    "KOS_HEARTBEAT_SECONDS": "0.5",
    "KOS_DISPATCH_AHEAD": "2",
    "MLX_API_URL": "disabled",
}
INTERRUPTED = "SELECT count(*) AS n FROM kos_attempts WHERE outcome = 'interrupted'"
STARTED = "SELECT count(*) AS n FROM tasks WHERE status = 'in_progress'"


def interruptions(directory: Path, wanted: int, *, within_seconds: float) -> dict[str, Any]:
    """At least ``wanted`` interruptions if they come in time, and what became of the tasks."""
    models = [{**model, "load_seconds": 0.2} for model in FLEET["models"]]  # type: ignore[attr-defined]
    profile = {**FLEET, "slots": SLOTS, "server_slots": SLOTS, "models": models}
    with deployment(directory, profile=profile, slots=SLOTS, environ=SETTINGS) as (system, url):
        system.sql(INSERT, (TASKS,))
        system.start("control", "llm-ollama", "listener")
        end = time.monotonic() + within_seconds
        count = asked = 0
        with requests.Session() as session:
            while count < wanted and time.monotonic() < end:
                system.wait(
                    lambda: system.sql(STARTED)[0]["n"] >= SLOTS - 2 or _left(system) < SLOTS,
                    deadline_seconds=120, what="tasks run",
                )  # fmt: skip
                if _left(system) < SLOTS:
                    system.sql(INSERT, (TASKS,))
                first_token_seconds(session, url, chat("chat", 2))
                asked += 1
                count = system.sql(INTERRUPTED)[0]["n"]
        system.wait(lambda: _left(system) == 0, deadline_seconds=600, what="the backlog ends")
        rows = system.sql(
            "SELECT count(*) AS tasks, count(*) FILTER (WHERE status = 'completed') AS completed, "
            "count(*) FILTER (WHERE status = 'failed') AS failed, "
            "count(*) FILTER (WHERE crash_count > 0) AS blamed, "
            "count(*) FILTER (WHERE (SELECT count(*) FROM kos_attempts a WHERE a.task_id = t.id "
            "AND a.outcome = 'completed') <> 1) AS not_exactly_once FROM tasks t"
        )
        return {"requests": asked, "interruptions": count, **rows[0]}


def _left(system: Any) -> int:
    counts = system.counts()
    return sum(counts.get(state, 0) for state in ("pending", "queued", "in_progress"))
