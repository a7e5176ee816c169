"""The planner: a snapshot in, blocks with reasons out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jobs.policy.plan_building.fifo import plan_fifo
from jobs.policy.plan_building.reload_aware import plan_reload_aware
from jobs.policy.plan_building.two_sources import plan_two_sources
from jobs.policy.types import Plan, PolicyName, Snapshot

_PLANNERS: Mapping[PolicyName, Callable[[Snapshot], Plan]] = {
    PolicyName.FIFO: plan_fifo,
    PolicyName.SEED: plan_two_sources,
    PolicyName.RELOAD_AWARE: plan_reload_aware,
}

PLAN_AGAIN_PART = 20
PLAN_AGAIN_AT_MOST = 50


def plan(snapshot: Snapshot) -> Plan:
    """Plan by the policy that the snapshot's configuration names.

    Every task of the snapshot is in exactly one block or in ``unplaced``, except under ``seed``,
    which takes ``batch_size`` tasks at a time and leaves the rest for its next batch.
    """
    return _PLANNERS[snapshot.config.policy](snapshot)


def plan_again_after(waiting: int) -> int:
    """After this many dispatched tasks a plan over ``waiting`` tasks is stale.

    Each task that ends shows its true length, so the balance is worth finding again: about every
    twentieth of what remains, and after every task near the end.
    """
    return max(1, min(PLAN_AGAIN_AT_MOST, waiting // PLAN_AGAIN_PART))
