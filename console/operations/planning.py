"""The plan in force, a plan made now for show, and recovery on request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from jobs.clock import utc_now
from jobs.learned import Learning
from jobs.policy.planning import plan
from jobs.policy.types import BackendView, Plan, PolicyName
from jobs.recoverer import recover_all
from jobs.residency import Residency
from jobs.runtime import Runtime
from jobs.snapshots import backend_views, snapshot
from models import backlog, block
from models.base import Row

BLOCK_FIELDS = (
    "backend", "model", "num_ctx", "heavy", "state", "size", "remaining", "in_flight", "reason",
    "expected_start_seconds", "expected_finish_seconds", "created_at", "started_at",
)  # fmt: skip


def in_force() -> dict[str, Any]:
    """``{"blocks": [...]}``: what is planned and not yet sent or not yet done, in lane order."""
    rows = sorted(block.open_blocks(), key=lambda row: (row["backend"], row["lane_order"]))
    return {"blocks": [{name: row.get(name) for name in BLOCK_FIELDS} for row in rows]}


def preview(runtime: Runtime, *, policy: PolicyName | None = None) -> dict[str, Any]:
    """What the planner would do now; nothing is written. Needs a session."""
    scan = runtime.scanner.last() or runtime.scanner.scan()
    in_flight, blocks = backlog.in_flight(), block.open_blocks()
    views = backend_views(runtime, scan, in_flight, blocks)
    given = snapshot(
        runtime,
        now=utc_now(),
        scan=scan,
        window=backlog.window(runtime.settings.plan_window),
        in_flight=in_flight,
        backends=tuple(_with_residents(runtime, views)),
        learning=Learning(runtime.settings.backends, runtime.scanner),
    )
    if policy is not None:
        given = replace(given, config=replace(given.config, policy=policy))
    return _document(plan(given)) | {"tasks": len(given.tasks)}


def recover(runtime: Runtime) -> dict[str, int]:
    """Return orphaned and stuck tasks now; how many, by cause."""
    found = recover_all(runtime)
    if found.returned:
        runtime.request_plan("recovery")
    return {**asdict(found), "returned": found.returned}


def _with_residents(runtime: Runtime, views: Iterable[BackendView]) -> Iterable[BackendView]:
    residency = Residency(runtime.redis)
    for view in views:
        seen = residency.seen(view.name)
        spec = runtime.settings.backend(view.name)
        resident = view.resident if seen is None else seen
        asked = spec.max_resident_models if spec else None
        yield replace(view, resident=resident, max_resident=asked or max(1, len(resident)))


def _document(made: Plan) -> dict[str, Any]:
    return {
        "policy": made.policy.value,
        "reason": made.reason,
        "blocks": [_block(index, made) for index in range(len(made.blocks))],
        "unplaced": [
            {"task": one.task_id, "reason": one.reason, "rejected": _options(one.rejected)}
            for one in made.unplaced
        ],
    }


def _block(index: int, made: Plan) -> Row:
    planned = made.blocks[index]
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
