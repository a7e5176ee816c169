"""The present plan, a dry run of a new one, and recovery on request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from console.operations import outlook
from console.operations.lanes import lane_of
from console.operations.strip import places_of, tasks_by_block
from jobs.planning import planner
from jobs.policy.forecast import SecondsRange
from jobs.policy.types import Plan, PolicyName
from jobs.runtime import Runtime
from jobs.settings.load import Settings
from models.base import Row

BLOCK_FIELDS = (
    "backend", "model", "num_ctx", "heavy", "state", "size", "remaining", "in_flight", "reason",
    "expected_start_seconds", "expected_finish_seconds", "created_at", "started_at",
)  # fmt: skip


def in_force(settings: Settings) -> dict[str, Any]:
    """``{"blocks": [...]}``: what is planned and not yet sent or not yet done, lane by lane.

    ``starts`` and ``ends`` of a block are ``{"low", "middle", "high"}`` in seconds from now, or
    None: when its first task that waits begins, and when its last one is done.
    """
    work = outlook.open_work()
    found = outlook.forecast_of(work, settings)
    sent = tasks_by_block(work.sent)
    backends = sorted({row.backend for row in work.blocks})
    rows = [row for backend in backends for row in lane_of(work.blocks, backend)]
    return {
        "blocks": [
            {name: getattr(row, name) for name in BLOCK_FIELDS}
            | {
                "starts": _range(found.start_of(row.id, 0)),
                "ends": _range(found.finish_of(places_of(row, sent))),
            }
            for row in rows
        ]
    }


def _range(found: SecondsRange | None) -> dict[str, float] | None:
    return asdict(found) if found else None


def preview(runtime: Runtime, *, policy: PolicyName | None = None) -> dict[str, Any]:
    """What the planner would do now; nothing is written. Needs a session."""
    snapshot, plan = planner.preview(
        runtime.settings, runtime.state, runtime.figures, policy=policy
    )
    return _document(plan) | {"tasks": len(snapshot.tasks)}


def recover(runtime: Runtime) -> dict[str, int]:
    """Return orphaned and stuck tasks now; how many, by cause."""
    found = runtime.recovery.run()
    if found.returned:
        runtime.requests.plan("recovery")
    return {**asdict(found), "returned": found.returned}


def _document(plan: Plan) -> dict[str, Any]:
    return {
        "policy": plan.policy.value,
        "reason": plan.reason,
        "blocks": [_block(index, plan) for index in range(len(plan.blocks))],
        "unplaced": [
            {"task": one.task_id, "reason": one.reason, "rejected": _options(one.rejected)}
            for one in plan.unplaced
        ],
    }


def _block(index: int, plan: Plan) -> Row:
    planned = plan.blocks[index]
    return {
        "backend": planned.key.backend,
        "model": planned.key.model,
        "num_ctx": planned.key.num_ctx,
        "heavy": planned.heavy,
        "size": len(planned.task_ids),
        "needs_load": planned.needs_load,
        "urgent": planned.urgent,
        "reason": planned.reason,
        "expected_load_seconds": planned.expected_load_seconds,
        "expected_start_seconds": planned.expected_start_seconds,
        "expected_finish_seconds": planned.expected_finish_seconds,
        "task_ids": list(planned.task_ids),
    }


def _options(rejected: Iterable[Any]) -> list[dict[str, str]]:
    return [{"option": one.option, "reason": one.reason} for one in rejected]
