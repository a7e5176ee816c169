"""Tasks that kill the worker they run in, and somebody who starts it again as supervisor would."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.system import System

WORKER = "llm-ollama"
PROCESSOR = '''
import os, signal

class Crasher:
    """Ends its process, as a fault in native code would: nothing is cleaned up."""

    name = "crasher"

    def run(self, task, call, *, checkpoint):
        os.kill(os.getpid(), signal.SIGKILL)
'''


@dataclass(frozen=True, slots=True)
class Aftermath:
    """``crash_counts``: how many rows have which count; ``deaths`` of the worker."""

    poison: int
    completed: int
    other_ends: int
    innocent_crash_counts: Mapping[int, int]
    deaths: int
    seconds: float


def install(directory: Path) -> str:
    """Offer the processor as an installed package would; what PYTHONPATH must name."""
    package = directory / "installed"
    about = package / "kos_crasher-1.dist-info"
    about.mkdir(parents=True)
    (package / "kos_crasher.py").write_text(PROCESSOR)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: kos-crasher\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[knowledge_os_jobs.processors]\ncrasher = kos_crasher:Crasher\n"
    )
    return str(package)


def insert(system: System, *, rows: int, crashers: int) -> None:
    """``rows`` tasks; every so many of them kills its worker."""
    system.sql(
        "INSERT INTO tasks (title, description, metadata) "
        "SELECT CASE WHEN n %% %(every)s = 7 THEN 'crasher' ELSE 'task' END, 'Say hello, ' || n, "
        "CASE WHEN n %% %(every)s = 7 THEN '{\"source\": \"crasher\"}'::jsonb ELSE '{}' END "
        "FROM generate_series(0, %(rows)s - 1) AS n",
        {"rows": rows, "every": rows // crashers},
    )


def until_ended(system: System, *, deadline_seconds: float) -> Aftermath:
    """Start the worker again whenever it died, until every task has ended."""
    began, deaths = time.monotonic(), 0

    def all_ended() -> bool:
        nonlocal deaths
        if system.programs[WORKER].poll() is not None:
            deaths += 1
            system.start(WORKER)
        return not {"pending", "queued", "in_progress"} & set(system.counts())

    system.wait(all_ended, deadline_seconds=deadline_seconds, what="every task ended")
    return _aftermath(system, deaths, time.monotonic() - began)


def _aftermath(system: System, deaths: int, seconds: float) -> Aftermath:
    rows = system.sql(
        "SELECT title, status, last_error, crash_count, count(*) AS n FROM tasks "
        "GROUP BY 1, 2, 3, 4"
    )
    poison = completed = other = 0
    counts: dict[int, int] = {}
    for row in rows:
        crasher = row["title"] == "crasher"
        if not crasher:
            counts[row["crash_count"]] = counts.get(row["crash_count"], 0) + row["n"]
        if crasher and row["status"] == "failed" and "poison" in (row["last_error"] or ""):
            poison += row["n"]
        elif not crasher and row["status"] == "completed":
            completed += row["n"]
        else:
            other += row["n"]
    return Aftermath(poison, completed, other, counts, deaths, seconds)
