"""Where Redis and Postgres disagree about what is queued, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from console.operations.queues import QueueCounts
from jobs.queues.names import LLM_QUEUE_PREFIX


def differences(queues: Sequence[QueueCounts], rows_by_backend: Mapping[str, int]) -> list[str]:
    """One line for each queue with fewer messages than rows, or rows without any queue.

    More messages than rows is normal: a running task's message is in flight while its row is
    no longer ``queued``, and a stale message is dropped by the epoch when it is taken.
    """
    lines = []
    known = set()
    for queue in queues:
        if not queue.queue.startswith(LLM_QUEUE_PREFIX):
            continue
        backend = queue.queue.removeprefix(LLM_QUEUE_PREFIX)
        known.add(backend)
        rows = rows_by_backend.get(backend, 0)
        held = queue.ready + queue.in_flight
        if rows > held:
            lines.append(
                f"{queue.queue}: {rows} rows are queued in Postgres and {held} messages are in "
                "Redis; recovery sends the missing ones (`kos recover` does it now)"
            )
    for backend, rows in rows_by_backend.items():
        if backend not in known:
            lines.append(
                f"{rows} rows are queued for {backend or 'no backend'}, which is not configured; "
                "add it back or run `kos recover`"
            )
    return lines
