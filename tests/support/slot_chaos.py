"""Many processes that fight for slots while they are killed, and a ledger that nobody can forge.

The ledger is a stream in another database of the same Redis, so its order is total: a process
writes ``enter`` after its grant and ``leave`` before its release; the killer writes ``dead`` once
the system has buried the process. Whatever the slots say of themselves, the ledger tells how many
were inside at once.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any, cast

import redis

from jobs.admission.slots import Slots
from tests.support.embedded import Server

LEDGER = "ledger"
BACKEND = "ollama"
SLOTS_DB = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Chaos:
    """What to do. ``kill_every_seconds`` and ``flush_every_seconds`` of 0 mean never."""

    processes: int
    acquisitions: int
    limit: int
    heavy_limit: int
    lease_seconds: float = 1.0
    renew_seconds: float = 0.3
    hold_seconds: float = 0.002
    kill_every_seconds: float = 0.02
    flush_every_seconds: float = 0.0
    deadline_seconds: float = 120.0
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What happened. ``most_inside`` is the highest number of holders at one moment."""

    acquisitions: int
    most_inside: int
    most_heavy_inside: int
    kills: int
    killed_inside: int
    flushes: int
    fences_repeated: int
    by_process: tuple[int, ...]
    seconds: float
    free_after_seconds: float


def run_chaos(server: Server, plan: Chaos) -> Ledger:
    """Run ``plan`` on ``server`` (its data is wiped), kill everybody, and read the ledger."""
    with server.client() as ledger, _slots_client(server) as held:
        ledger.flushall()
        started = time.monotonic()
        workers = {name: _start(server, plan, name) for name in range(plan.processes)}
        try:
            kills, flushes = _rage(server, plan, workers, ledger, held)
        finally:
            for name, worker in workers.items():
                _kill(worker, name, ledger)
        seconds = time.monotonic() - started
        free_after = _until_free(Slots(held, renew_seconds=0.0), plan)
        return _read(ledger, plan, kills, flushes, seconds, free_after)


def _rage(
    server: Server,
    plan: Chaos,
    workers: dict[int, BaseProcess],
    ledger: redis.Redis,
    held: redis.Redis,
) -> tuple[int, int]:
    dice = random.Random(plan.seed)
    kills = flushes = 0
    now = time.monotonic()
    deadline, next_kill, next_flush = (
        now + plan.deadline_seconds,
        now,
        now + plan.flush_every_seconds,
    )
    while int(ledger.get("entered") or 0) < plan.acquisitions:
        now = time.monotonic()
        if now > deadline:
            raise TimeoutError(f"only {ledger.get('entered')!r} acquisitions in time")
        if plan.kill_every_seconds and now >= next_kill:
            name = dice.choice(list(workers))
            _kill(workers.pop(name), name, ledger)
            kills += 1
            workers[plan.processes + kills] = _start(server, plan, plan.processes + kills)
            next_kill = now + plan.kill_every_seconds * dice.uniform(0.5, 1.5)
        if plan.flush_every_seconds and now >= next_flush:
            held.flushdb()
            flushes += 1
            next_flush = now + plan.flush_every_seconds
        time.sleep(0.002)
    return kills, flushes


def _start(server: Server, plan: Chaos, name: int) -> BaseProcess:
    work: Callable[..., None] = _work
    process = multiprocessing.get_context("fork").Process(target=work, args=(server, plan, name))
    process.start()
    return process


def _kill(worker: BaseProcess, name: int, ledger: redis.Redis) -> None:
    worker.kill()
    worker.join()
    worker.close()
    ledger.xadd(LEDGER, {"what": "dead", "who": name, "heavy": 0, "grant_number": 0})


def _work(server: Server, plan: Chaos, name: int) -> None:
    dice = random.Random(plan.seed * 100_003 + name)
    with server.client() as ledger, _slots_client(server) as client:
        slots = Slots(
            client,
            lease_seconds=plan.lease_seconds,
            renew_seconds=plan.renew_seconds,
            place_seconds=plan.lease_seconds / 4,
            owner=f"worker {name} {os.getpid()}",
        )
        turn = 0
        while True:
            turn += 1
            _one_turn(slots, ledger, plan, name, f"{name}-{turn}:1", dice)


def _one_turn(
    slots: Slots, ledger: redis.Redis, plan: Chaos, name: int, holder: str, dice: random.Random
) -> None:
    heavy = dice.random() < 0.3
    while True:
        admission = slots.acquire(
            BACKEND, holder, limit=plan.limit, heavy=heavy, heavy_limit=plan.heavy_limit
        )
        if admission.granted:
            break
        time.sleep(dice.uniform(0.001, 0.004))
    entry: dict[Any, Any] = {
        "who": name,
        "heavy": int(heavy),
        "grant_number": admission.grant_number,
    }
    with ledger.pipeline(transaction=True) as both:
        both.xadd(LEDGER, {"what": "enter", **entry})
        both.incr("entered")
        both.execute()
    time.sleep(dice.uniform(0, 2 * plan.hold_seconds))
    if dice.random() < 0.2:
        slots.renew()
    ledger.xadd(LEDGER, {"what": "leave", **entry})
    slots.release(BACKEND, holder)


def _until_free(slots: Slots, plan: Chaos) -> float:
    """Seconds until a newcomer can have every slot there is."""
    died = time.monotonic()
    missing = [f"after:{number}" for number in range(plan.limit)]
    while missing:
        if time.monotonic() > died + 10 * plan.lease_seconds:
            raise TimeoutError(f"slots did not come back: {slots.inspect(BACKEND)}")
        if slots.acquire(BACKEND, missing[-1], limit=plan.limit).granted:
            missing.pop()
        else:
            time.sleep(0.002)
    return time.monotonic() - died


def _read(
    ledger: redis.Redis,
    plan: Chaos,
    kills: int,
    flushes: int,
    seconds: float,
    free_after_seconds: float,
) -> Ledger:
    """A process that stands still for longer than a lease loses its slot, and counts no more from
    then on: a grant number is the time of the grant in microseconds, by the clock of Redis."""
    inside: dict[int, tuple[bool, int]] = {}
    entered: dict[int, int] = {}
    grants: set[int] = set()
    most = most_heavy = killed_inside = repeated = 0
    for entry, raw in cast("list[tuple[bytes, dict[bytes, bytes]]]", ledger.xrange(LEDGER)):
        what, who = raw[b"what"], int(raw[b"who"])
        if what == b"enter":
            inside[who] = raw[b"heavy"] == b"1", int(raw[b"grant_number"])
            entered[who] = entered.get(who, 0) + 1
            repeated += int(raw[b"grant_number"]) in grants
            grants.add(int(raw[b"grant_number"]))
        else:
            killed_inside += inside.pop(who, None) is not None and what == b"dead"
        lapsed_before = (int(entry.split(b"-")[0]) - plan.lease_seconds * 1000) * 1000
        leased = [heavy for heavy, granted_at in inside.values() if granted_at > lapsed_before]
        most = max(most, len(leased))
        most_heavy = max(most_heavy, sum(leased))
    return Ledger(
        acquisitions=sum(entered.values()),
        most_inside=most,
        most_heavy_inside=most_heavy,
        kills=kills,
        killed_inside=killed_inside,
        flushes=flushes,
        fences_repeated=repeated,
        by_process=tuple(sorted(entered.values())),
        seconds=seconds,
        free_after_seconds=free_after_seconds,
    )


def _slots_client(server: Server) -> redis.Redis:
    return server.client(db=SLOTS_DB)
