"""Slots under fire, and what they cost.

    python -m benchmarks.slots [--short]

Prints one JSON document: the chaos runs (20 processes, random kill -9, then the same with Redis
flushed again and again), fairness without kills, and the cost of acquire + release, measured as
wall time of one client, as time Redis itself spends, and beside a pair of PINGs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import asdict
from typing import Any

import redis

from jobs.slots import Slots
from tests.support.redis_server import RedisServer, redis_server
from tests.support.slot_chaos import Chaos, Ledger, run_chaos

PAIRS = 3000
REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--short", action="store_true", help="a tenth of the acquisitions")
    acquisitions = 1_000 if parser.parse_args().short else 10_000
    with redis_server() as server:
        print(json.dumps(_measure(server, acquisitions), indent=2))


def _measure(server: RedisServer, acquisitions: int) -> dict[str, Any]:
    killed = Chaos(
        processes=20,
        acquisitions=acquisitions,
        limit=8,
        heavy_limit=3,
        hold_seconds=0.01,
        kill_every_seconds=0.1,
        deadline_seconds=600.0,
    )
    flushed = Chaos(
        processes=20,
        acquisitions=acquisitions,
        limit=8,
        heavy_limit=3,
        kill_every_seconds=0.0,
        flush_every_seconds=1.0,
        deadline_seconds=600.0,
    )
    calm = Chaos(
        processes=20,
        acquisitions=acquisitions // 2,
        limit=8,
        heavy_limit=8,
        kill_every_seconds=0.0,
        deadline_seconds=600.0,
    )
    return {
        "cost": _cost(server),
        "killed": _summary(killed, run_chaos(server, killed)),
        "flushed": _summary(flushed, run_chaos(server, flushed)),
        "calm": _summary(calm, run_chaos(server, calm)),
    }


def _summary(plan: Chaos, ledger: Ledger) -> dict[str, Any]:
    shares = ledger.by_process
    found = {name: value for name, value in asdict(ledger).items() if name != "by_process"}
    return {
        "limit": plan.limit,
        "heavy_limit": plan.heavy_limit,
        "lease_seconds": plan.lease_seconds,
        **found,
        "never_over_the_limit": ledger.most_inside <= plan.limit
        and ledger.most_heavy_inside <= plan.heavy_limit,
        "acquisitions_per_process_min_median_max": [
            shares[0],
            statistics.median(shares),
            shares[-1],
        ],
    }


def _cost(server: RedisServer) -> dict[str, Any]:
    with server.client() as client:
        client.flushall()
        slots = Slots(client)
        for number in range(4):
            slots.acquire("busy", f"held{number}:1", limit=8)

        def pair(number: int) -> None:
            slots.acquire("busy", f"t{number}:1", limit=8, heavy_limit=2)
            slots.release("busy", f"t{number}:1")

        def two_pings(_: int) -> None:
            client.ping()
            client.ping()

        pair(0)
        client.config_resetstat()
        pair_ms = min(_milliseconds_each(pair) for _ in range(REPEATS))
        redis_us = _script_microseconds(client) / (PAIRS * REPEATS)
        return {
            "acquire_and_release_wall_ms": round(pair_ms, 4),
            "acquire_and_release_inside_redis_ms": round(redis_us / 1000, 4),
            "two_pings_wall_ms": round(min(_milliseconds_each(two_pings) for _ in range(3)), 4),
            "renew_of_50_slots_wall_ms": round(_renewal_ms(slots), 4),
        }


def _milliseconds_each(work: Any) -> float:
    started = time.perf_counter()
    for number in range(PAIRS):
        work(number)
    return (time.perf_counter() - started) / PAIRS * 1000


def _script_microseconds(client: redis.Redis) -> float:
    commands: dict[str, Any] = client.info("commandstats")
    return float(commands["cmdstat_evalsha"]["usec"])


def _renewal_ms(slots: Slots) -> float:
    for number in range(50):
        slots.acquire("many", f"m{number}:1", limit=50)
    started = time.perf_counter()
    for _ in range(100):
        slots.renew()
    return (time.perf_counter() - started) * 10


if __name__ == "__main__":
    main()
