"""One run of chaos, from an empty database to the findings."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import redis

from benchmarks.chaos.evidence import Findings, gather
from benchmarks.chaos.feed import audit, feed
from benchmarks.chaos.harms import Harms
from benchmarks.chaos.script import Event, Harm, script
from benchmarks.chaos.stage import BACKEND_FAULTS, Stage, stage
from benchmarks.chaos.watch import Standstill
from jobs.queues.names import WORKERS

FED_SHARE = 0.85
REST_SECONDS = 120.0
START_SECONDS = 120.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Result:
    """``rest_seconds`` is the time from the last harm to the end of the last task."""

    seed: int
    events: tuple[Event, ...]
    skipped: tuple[str, ...]
    died: Counter[str]
    findings: Findings
    standstill: Standstill
    chaos_seconds: float
    rest_seconds: float


def run_chaos(
    directory: Path,
    *,
    seed: int,
    tasks: int,
    seconds: float,
    every_seconds: float = 3.0,
    harms: Collection[Harm] = tuple(Harm),
) -> Result:
    """Feed ``tasks`` while the script of ``seed`` runs for ``seconds``; judge when all rests."""
    events = script(seed=seed, seconds=seconds, every_seconds=every_seconds, of=harms)
    with stage(directory) as here:
        audit(here)
        for simulator in (here.system.ollama, here.system.mlx):
            for fault, rate in BACKEND_FAULTS.items():
                simulator.fault(fault, rate=rate)
        here.start()
        _wait_for_workers(here)
        standstill, doer = Standstill(), Harms(here)
        watching = standstill.watch(here)
        began = time.monotonic()
        _feed_and_harm(here, doer, events, tasks=tasks, seconds=seconds)
        harmed_until = time.monotonic()
        _wait_for_rest(here, tasks)
        rested_at = time.monotonic()
        standstill.stop()
        watching.join()
        findings = gather(
            here,
            tasks=tasks,
            freezes=doer.freezes,
            standing=(standstill.running_seconds, standstill.queued_seconds),
        )
    return Result(
        seed=seed,
        events=events,
        skipped=tuple(doer.skipped),
        died=here.died,
        findings=findings,
        standstill=standstill,
        chaos_seconds=harmed_until - began,
        rest_seconds=rested_at - harmed_until,
    )


def _feed_and_harm(
    here: Stage, harms: Harms, events: tuple[Event, ...], *, tasks: int, seconds: float
) -> None:
    stop = threading.Event()
    began = time.monotonic()
    with ThreadPoolExecutor(max_workers=32, thread_name_prefix="harm") as pool:
        fed = pool.submit(feed, here, tasks=tasks, seconds=seconds * FED_SHARE, stop=stop)
        try:
            done = []
            for event in events:
                stop.wait(max(0.0, began + event.at_seconds - time.monotonic()))
                done.append(pool.submit(harms.do, event))
            for one in [*done, fed]:
                one.result()
        finally:
            stop.set()


def _wait_for_workers(here: Stage) -> None:
    """Harm done to programs that are still starting proves nothing."""
    wanted = len([name for name in here.programs if name == "control" or name.startswith("llm-")])
    deadline = time.monotonic() + START_SECONDS
    with closing(redis.Redis.from_url(here.redis.url)) as client:
        while int(client.hlen(WORKERS)) < wanted:
            assert time.monotonic() < deadline, "the workers did not start"
            time.sleep(POLL_SECONDS)


def _wait_for_rest(here: Stage, tasks: int) -> None:
    """Until every task ended, or the deadline: the findings tell which did not."""
    deadline = time.monotonic() + REST_SECONDS
    while time.monotonic() < deadline:
        try:
            counts = here.system.counts()
        except psycopg2.Error:
            counts = {}
        if counts.get("completed", 0) + counts.get("failed", 0) >= tasks:
            return
        time.sleep(POLL_SECONDS)
