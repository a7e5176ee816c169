"""Whether a task that failed at one backend could run at another now, by the rules of a plan."""

from __future__ import annotations

import logging

import redis

from jobs.planning.current_state import StateReader
from jobs.planning.learned_figures import LearnedFigures
from jobs.planning.snapshots import avoided_places, category_of, snapshot
from jobs.policy import metadata
from jobs.policy.plan_building.choices import has_other_place, others
from jobs.policy.types import Snapshot, TaskView
from jobs.process.clock import utc_now
from jobs.settings.load import Settings
from llm.backends.registry import Backends
from llm.errors import BackendUnreachable, BadAnswer, ConnectTimeout, Overloaded
from models.database import DatabaseUnavailable
from models.task_rows import ClaimedTask

logger = logging.getLogger(__name__)


class Failover:
    """Finds another backend for a task."""

    def __init__(
        self,
        settings: Settings,
        *,
        state: StateReader,
        figures: LearnedFigures,
        backends: Backends,
    ) -> None:
        self._settings = settings
        self._state = state
        self._figures = figures
        self._backends = backends

    def is_possible(
        self, row: ClaimedTask, *, failed: tuple[str, str], error: Exception | None
    ) -> bool:
        """Whether the task of ``row`` has another place to run than ``failed`` (backend, model).

        After a bad answer, another model of the same server is enough. After any other failure
        another backend is needed, and the last scan says which are up. Where ``error`` is a server
        that cannot be reached, the others may be gone by now as well, so one of them must answer.
        After `Overloaded`, only servers count that the task has not tried: two overloaded servers
        would pass it to and fro. False where Redis or Postgres do not answer.
        """
        try:
            if error is None or isinstance(error, BadAnswer):
                return has_other_place(self._snapshot(), _requirements(row), than=failed)
            found = others(self._snapshot(), _requirements(row), than=failed[0])
            if isinstance(error, Overloaded):
                found = tuple(name for name in found if name not in _tried(row))
        except (redis.RedisError, DatabaseUnavailable) as problem:
            logger.warning("failover_unknown task=%s error=%s", row.id, problem)
            return False
        # The last scan may be older than a failure that ended every server, such as of the network.
        if isinstance(error, BackendUnreachable | ConnectTimeout):
            return any(self._backends.get(name).health().reachable for name in found)
        return bool(found)

    def _snapshot(self) -> Snapshot:
        """The servers as a plan made now would see them."""
        scan = self._state.scan()
        return snapshot(
            self._settings,
            self._figures,
            now=utc_now(),
            scan=scan,
            models=self._state.models(scan),
            backends=self._state.backends(scan),
        )


def _requirements(row: ClaimedTask) -> TaskView:
    """The requirements of the task, by which backends are excluded."""
    options = metadata.read(row.metadata)
    return TaskView(
        id=row.id,
        created_at=row.created_at or utc_now(),
        category=category_of(row.category),
        required_backend=options.required_backend,
        required_model=options.required_model,
        avoid=avoided_places(row.avoid),
    )


def _tried(row: ClaimedTask) -> set[str]:
    return {backend for backend, _ in avoided_places(row.avoid)}
