"""Waiting for tasks to end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from models import counts, task_figures, task_views
from models.database import session
from models.states import FINAL_STATES, TaskState

POLL_SECONDS = 0.05
SLOWEST_POLL_SECONDS = 0.5
PAGE = 5000


@dataclass(frozen=True, slots=True)
class Progress:
    """How many of the awaited tasks are in which state."""

    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def ended(self) -> int:
        return sum(self.counts.get(state.value, 0) for state in FINAL_STATES)

    @property
    def failed(self) -> int:
        return self.counts.get("failed", 0)

    @property
    def done(self) -> bool:
        return self.ended == self.total


def wait_for_tasks(
    task_ids: Sequence[str] | None,
    *,
    timeout_seconds: float | None,
    since: datetime | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[Progress, bool]:
    """(progress, whether all have ended) of ``task_ids``, or of every task when None.

    ``since`` restricts "every task" to those created after it. Rows with an unknown status are not
    counted, because we never end them.
    """
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    pause = POLL_SECONDS
    while True:
        started = time.monotonic()
        with session():
            progress = _of_ids(task_ids) if task_ids is not None else _of_all(since)
        if on_progress is not None:
            on_progress(progress)
        now = time.monotonic()
        if progress.done or (deadline is not None and now >= deadline):
            return progress, progress.done
        # A count over a large table must not load the server that the tasks need.
        pause = min(max(POLL_SECONDS, 10 * (now - started)), SLOWEST_POLL_SECONDS)
        time.sleep(pause if deadline is None else max(0.0, min(pause, deadline - now)))


def _of_ids(task_ids: Sequence[str]) -> Progress:
    counts: dict[str, int] = {}
    for start in range(0, len(task_ids), PAGE):
        page = list(task_ids[start : start + PAGE])
        statuses = task_views.statuses_of(page)
        for task_id in page:
            # A row that is gone will never end; it counts as cancelled.
            status = statuses.get(task_id, "cancelled")
            counts[status] = counts.get(status, 0) + 1
    return Progress(counts)


def _of_all(since: datetime | None) -> Progress:
    known = [state.value for state in TaskState]
    if since is not None:
        return Progress(task_figures.counts_since(since, known))
    return Progress({name: n for name, n in counts.by_status().items() if n and name in known})
