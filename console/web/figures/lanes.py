"""One lane per backend: what is in memory, what runs, what comes next, and what holds it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import redis

from console.operations.lanes import binding, done_of, lane_of
from console.operations.standing import Standing, Standings
from console.web.figures import scan
from jobs.admission.breakers import split
from jobs.settings.load import Settings
from llm.breaker import BreakerPhase
from llm.types import BackendSpec, Scan, ServerScan
from models import task_figures
from models.base import Row
from models.block import BlockInForce
from models.load import Reloads
from models.task_figures import TaskInProgress

RUNNING_SHOWN = 8
SEGMENTS_SHOWN = 40
RUNNING_READ = 400


class Lanes:
    """Reads Redis in a few round trips; the caller passes the database rows."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._settings = settings
        self._client = client
        self._standings = Standings(settings, client)

    def look(
        self,
        *,
        blocks: Sequence[BlockInForce],
        splits: Mapping[str, Row],
        reloads: Mapping[str, Reloads],
        now: datetime,
    ) -> tuple[list[Row], Standing]:
        """A lane for each configured backend, in the order of the settings, and what Redis says
        of them. Needs a session."""
        running = task_figures.running(RUNNING_READ)
        last_scan = scan.last(self._client)
        standing = self._standings.look(last_scan)
        lanes = [
            {
                "backend": spec.name,
                "kind": spec.kind.value,
                "url": spec.url,
                "simulated": spec.name in self._settings.simulated,
                **self._lane(spec, last_scan, standing),
                **_plan(lane_of(blocks, spec.name)),
                "running": _running(running, spec.name, now),
                "split": splits.get(spec.name),
                "reloads": asdict(reloads[spec.name]) if spec.name in reloads else None,
            }
            for spec in self._settings.backends
        ]
        return lanes, standing

    def _lane(self, spec: BackendSpec, last_scan: Scan | None, standing: Standing) -> Row:
        server = last_scan.server(spec.name) if last_scan else None
        sizes = scan.sizes(server)
        state, held = standing.states[spec.name], standing.slots.get(spec.name)
        states = self._standings.breakers.states()
        wanted = self._standings.limits.demand(spec.name)
        bound, reason = binding(state.limit, held.leases if held else ())
        open_models = [
            {"model": split(key)[1], "reason": found.reason, "retry_at": found.retry_at}
            for key, found in sorted(states.items())
            if split(key)[0] == spec.name and split(key)[1] and _open(found)
        ]
        return {
            "resident": [{"name": name, "bytes": sizes.get(name)} for name in state.resident],
            "holds": asdict(state.holds) if state.holds else None,
            "models": _models(server),
            "scan_error": state.error,
            "in_flight": len(held.leases) if held else 0,
            "chats": held.chats if held else 0,
            "kept_for_chats": wanted.model if wanted else None,
            "waiting_for_slot": held.waiting if held else 0,
            "limit": state.limit.slots,
            "heavy_limit": state.limit.heavy,
            "bound": bound,
            "limit_reason": reason,
            "ceiling": min(spec.max_concurrent, self._settings.max_concurrent),
            "paused": state.paused,
            "breaker": state.breaker.value,
            "breaker_reason": state.breaker_reason,
            "breaker_retry_at": state.breaker_retry_at,
            "open_models": open_models,
        }


def _open(state: Any) -> bool:
    return bool(state.phase is not BreakerPhase.CLOSED)


def _models(server: ServerScan | None) -> list[str]:
    if server is None:
        return []
    return [model.name for model in server.models or () if model.broken is None]


def _plan(lane: Sequence[BlockInForce]) -> Row:
    blocks = [
        {
            "model": row.model,
            "size": row.size,
            "done": done_of(row),
            "in_flight": row.in_flight,
            "remaining": row.remaining,
            "urgent": row.urgent,
            "reason": row.reason,
            "expected_finish_seconds": row.expected_finish_seconds,
        }
        for row in lane
    ]
    return {
        "blocks": blocks[:SEGMENTS_SHOWN],
        "block_count": len(blocks),
        "present": blocks[0] if blocks else None,
        "next": blocks[1] if len(blocks) > 1 else None,
        "planned": sum(row.remaining + row.in_flight for row in lane),
        "finish_seconds": max((row.expected_finish_seconds for row in lane), default=None),
    }


def _running(tasks: Sequence[TaskInProgress], backend: str, now: datetime) -> list[Row]:
    mine = [task for task in tasks if task.backend == backend][:RUNNING_SHOWN]
    return [
        {
            "id": task.id,
            "title": task.title,
            "model": task.model or None,
            "phase": task.progress.phase or "running",
            "tokens": task.progress.tokens,
            "seconds": max(0.0, (now - task.started_at).total_seconds())
            if task.started_at
            else None,
        }
        for task in mine
    ]
