"""The short form; benchmarks/slots runs the long one."""

from __future__ import annotations

from tests.support.embedded import Server
from tests.support.slot_chaos import Chaos, run_chaos


def test_the_limit_holds_while_processes_are_killed(server: Server) -> None:
    plan = Chaos(
        processes=8,
        acquisitions=800,
        limit=4,
        heavy_limit=2,
        lease_seconds=0.5,
        kill_every_seconds=0.05,
    )

    ledger = run_chaos(server, plan)

    assert ledger.acquisitions >= plan.acquisitions
    assert ledger.kills > 0
    assert 1 < ledger.most_inside <= plan.limit
    assert 1 <= ledger.most_heavy_inside <= plan.heavy_limit
    assert ledger.fences_repeated == 0
    assert ledger.free_after_seconds <= plan.lease_seconds + 0.5


def test_the_limit_holds_while_redis_forgets_everything(server: Server) -> None:
    plan = Chaos(
        processes=8,
        acquisitions=800,
        limit=4,
        heavy_limit=2,
        kill_every_seconds=0.0,
        flush_every_seconds=0.6,
    )

    ledger = run_chaos(server, plan)

    assert ledger.flushes > 0
    assert 1 < ledger.most_inside <= plan.limit
    assert 1 <= ledger.most_heavy_inside <= plan.heavy_limit
    assert ledger.fences_repeated == 0
    assert min(ledger.by_process) > 0
