"""Rows made ``queued`` in a test as the dispatcher does it: as the next ones of a block."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from models.base import fetch_all
from models.task import Task

ROUTE = '[{"reason": "it fits", "rejected": []}]'


def queue_rows(
    task_ids: Sequence[str],
    *,
    backend: str = "ollama",
    model: str = "m",
    block_id: str | None = None,
) -> list[tuple[str, int]]:
    """(id, epoch) of those that were pending; the block (a new one by default) holds them all."""
    block_id = block_id or str(uuid4())
    fetch_all(
        "INSERT INTO kos_blocks (id, plan_id, backend, model, lane_order, task_ids, policy, "
        "reason, routes, route_of) VALUES (%(id)s, %(id)s, %(backend)s, %(model)s, 0, "
        "%(ids)s::uuid[], 'fifo', 'alone', %(routes)s, array_fill(0, ARRAY[%(count)s])) "
        "ON CONFLICT (id) DO UPDATE SET next_index = 0, backend = EXCLUDED.backend, "
        "task_ids = EXCLUDED.task_ids RETURNING 1",
        {
            "id": block_id,
            "backend": backend,
            "model": model,
            "ids": list(task_ids),
            "count": len(task_ids),
            "routes": ROUTE,
        },
    )
    return Task.queue(block_id, len(task_ids), reason="a slot was free")
