"""RUNNING is not ready: a worker is when it has registered itself, and health has seen it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import redis

from console.operations.health_report import last_round
from console.supervision.client import ProgramStatus
from jobs.queues.clients import client_for
from jobs.settings.load import Settings
from jobs.upkeep.health.programs import workers

HEALTH_CHECKER = "watch:health"
Unready = Callable[[Settings, Iterable[ProgramStatus]], list[str]]


def unready_workers(settings: Settings, programs: Iterable[ProgramStatus]) -> list[str]:
    """The worker programs that no live process has registered, or whose last report is red; then
    the health checker until it has reported.

    ``kos status`` shows the last report, and shall not contradict ``kos up``.
    """
    names = [program.name for program in programs]
    expected = [name for name in names if _is_worker(name)]
    if settings.redis_url is None or not expected:
        return []
    with client_for(settings.redis_url) as client:
        try:
            late = [check.name for check in workers(client, expected) if not check.ok]
            reported = last_round(client)
            red = {check.name for check in reported if not check.ok}
            late = late or [name for name in expected if name in red]
            return late or [name for name in names if name == HEALTH_CHECKER and not reported]
        except redis.RedisError:
            return expected


def _is_worker(name: str) -> bool:
    return name == "jobs:control" or name.startswith("jobs:llm-")
