"""Slots under fire, and what they cost.

    python -m benchmarks.slots [--short] [--cost]

Prints one JSON document: the chaos runs (20 processes, random kill -9, then the same with Redis
flushed again and again), fairness without kills, and the cost of acquire + release, measured as
wall time of one client, as time Redis itself spends, and beside a pair of PINGs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import redis

from jobs.admission.slots import Slots
from tests.support.embedded import Server, redis_server
from tests.support.slot_chaos import Chaos, Ledger, run_chaos

PAIRS = 3000
REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--short", action="store_true", help="a tenth of the acquisitions")
    parser.add_argument("--cost", action="store_true", help="the cost only")
    options = parser.parse_args()
    with redis_server() as server:
        found = {"cost": _cost(server)}
        if not options.cost:
            found |= _chaos(server, 1_000 if options.short else 10_000)
        print(json.dumps(found, indent=2))


def _chaos(server: Server, acquisitions: int) -> dict[str, Any]:
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


def _cost(server: Server) -> dict[str, Any]:
    with server.client() as client:
        client.flushall()
        slots = Slots(client)
        for number in range(4):
            slots.acquire("busy", f"held{number}:1", limit=8)

        def pair(number: int) -> None:
            slots.acquire("busy", f"t{number}:1", limit=8, heavy_limit=2)
            slots.release("busy", f"t{number}:1")

        def pair_under_a_common_bound(number: int) -> None:
            slots.acquire("busy", f"t{number}:1", limit=8, heavy_limit=2, total_limit=20)
            slots.release("busy", f"t{number}:1")

        def two_pings(_: int) -> None:
            client.ping()
            client.ping()

        wall_ms, inside_ms = _pair_costs(client, pair)
        for name in ("mlx", "vllm", "other ollama", "remote"):
            slots.acquire(name, f"{name}:1", limit=4)
        common_wall_ms, common_inside_ms = _pair_costs(client, pair_under_a_common_bound)
        return {
            "acquire_and_release_wall_ms": wall_ms,
            "acquire_and_release_inside_redis_ms": inside_ms,
            "with_a_bound_over_5_backends_wall_ms": common_wall_ms,
            "with_a_bound_over_5_backends_inside_redis_ms": common_inside_ms,
            "two_pings_wall_ms": round(min(_milliseconds_each(two_pings) for _ in range(3)), 4),
            "renew_of_50_slots_wall_ms": round(_renewal_ms(slots), 4),
        }


def _pair_costs(client: redis.Redis, pair: Callable[[int], None]) -> tuple[float, float]:
    """Wall milliseconds of the best repeat, and mean milliseconds inside Redis."""
    pair(0)
    client.config_resetstat()
    wall_ms = min(_milliseconds_each(pair) for _ in range(REPEATS))
    inside_us = _script_microseconds(client) / (PAIRS * REPEATS)
    return round(wall_ms, 4), round(inside_us / 1000, 4)


def _milliseconds_each(work: Callable[[int], None]) -> float:
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
