"""Whether a task that failed at one backend could go to another now, by the rules of a plan."""

from __future__ import annotations

import logging

import redis

from jobs.parts import Parts
from jobs.planning.learned_figures import LearnedFigures
from jobs.planning.snapshots import backend_views, snapshot
from jobs.policy import metadata
from jobs.policy.planners.choices import others
from jobs.policy.types import Snapshot, TaskView
from jobs.process.clock import utc_now
from jobs.runtime import Runtime
from llm.errors import BackendUnreachable, ConnectTimeout
from models.base import Row
from models.database import DatabaseUnavailable

logger = logging.getLogger(__name__)


def elsewhere(parts: Parts, row: Row, *, than: str, error: Exception | None) -> bool:
    """Whether a backend other than ``than`` is up and may take the task of ``row``.

    The last scan says what is up. Where ``error`` is a server that cannot be reached, that may be
    true of the others as well by now: then one of them must answer. False where Redis or Postgres
    do not answer.
    """
    try:
        found = others(_now(parts.runtime, parts.learning), _asked(row), than=than)
    except (redis.RedisError, DatabaseUnavailable) as problem:
        logger.warning("elsewhere_not_known task=%s error=%s", row["id"], problem)
        return False
    if isinstance(error, BackendUnreachable | ConnectTimeout):
        backends = parts.runtime.backends
        return any(backends.get(name).health().reachable for name in found)
    return bool(found)


def _now(runtime: Runtime, learning: LearnedFigures) -> Snapshot:
    """What a plan made now would see of the servers."""
    scan = runtime.scanner.last() or runtime.scanner.scan()
    return snapshot(
        runtime,
        now=utc_now(),
        scan=scan,
        window=(),
        waiting={},
        in_flight=(),
        backends=backend_views(runtime, scan, (), ()),
        learning=learning,
    )


def _asked(row: Row) -> TaskView:
    """What the creator of the task asked for: all that keeps it from a backend."""
    options = metadata.read(row["metadata"])
    return TaskView(
        id=row["id"],
        created_at=row["created_at"],
        required_backend=options.required_backend,
        preferred_model=options.preferred_model,
    )
