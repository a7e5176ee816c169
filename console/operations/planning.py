"""The present plan, a dry run of a new one, and recovery on request."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from console.operations import outlook
from console.operations.lanes import lane_of
from console.operations.strip import places_of, tasks_by_block
from jobs.planning import planner
from jobs.policy.forecast import SecondsRange
from jobs.policy.types import PlannedBlock, PolicyName, Rejected
from jobs.runtime import Runtime
from jobs.settings.load import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastBlock:
    """A block that is planned and not yet sent or not yet done.

    ``starts`` and ``ends`` are in seconds from now, None where nothing says: when its first task
    that waits begins, and when its last one is done.
    """

    backend: str
    model: str
    num_ctx: int | None
    heavy: bool
    state: str
    size: int
    remaining: int
    in_flight: int
    reason: str
    expected_start_seconds: float
    expected_finish_seconds: float
    created_at: datetime
    started_at: datetime | None
    starts: SecondsRange | None
    ends: SecondsRange | None


@dataclass(frozen=True, slots=True)
class PlanInForce:
    """Lane by lane."""

    blocks: list[ForecastBlock]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewedBlock:
    """A block that the planner would make now."""

    backend: str
    model: str
    num_ctx: int | None
    heavy: bool
    size: int
    needs_load: bool
    urgent: bool
    reason: str
    expected_load_seconds: float
    expected_start_seconds: float
    expected_finish_seconds: float
    task_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnplacedTask:
    """A task that would wait, and what was not chosen for it."""

    task: str
    reason: str
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True)
class PlanPreview:
    """What the planner would do now with so many ``tasks``."""

    policy: str
    reason: str
    blocks: list[PreviewedBlock]
    unplaced: list[UnplacedTask]
    tasks: int


def in_force(settings: Settings) -> PlanInForce:
    work = outlook.open_work()
    found = outlook.forecast_of(work, settings)
    sent = tasks_by_block(work.sent)
    backends = sorted({row.backend for row in work.blocks})
    own = [name for name in ForecastBlock.__dataclass_fields__ if name not in {"starts", "ends"}]
    return PlanInForce(
        [
            ForecastBlock(
                **{name: getattr(row, name) for name in own},
                starts=found.start_of(row.id, 0),
                ends=found.finish_of(places_of(row, sent)),
            )
            for backend in backends
            for row in lane_of(work.blocks, backend)
        ]
    )


def preview(runtime: Runtime, *, policy: PolicyName | None = None) -> PlanPreview:
    """What the planner would do now; nothing is written. Needs a session."""
    snapshot, plan = planner.preview(
        runtime.settings, runtime.state, runtime.figures, policy=policy
    )
    return PlanPreview(
        policy=plan.policy.value,
        reason=plan.reason,
        blocks=[_previewed(block) for block in plan.blocks],
        unplaced=[UnplacedTask(one.task_id, one.reason, one.rejected) for one in plan.unplaced],
        tasks=len(snapshot.tasks),
    )


def recover(runtime: Runtime) -> dict[str, int]:
    """Return orphaned and stuck tasks now; how many, by cause."""
    found = runtime.recovery.run()
    if found.returned:
        runtime.requests.plan("recovery")
    return {**asdict(found), "returned": found.returned}


def _previewed(block: PlannedBlock) -> PreviewedBlock:
    return PreviewedBlock(
        backend=block.key.backend,
        model=block.key.model,
        num_ctx=block.key.num_ctx,
        heavy=block.heavy,
        size=len(block.task_ids),
        needs_load=block.needs_load,
        urgent=block.urgent,
        reason=block.reason,
        expected_load_seconds=block.expected_load_seconds,
        expected_start_seconds=block.expected_start_seconds,
        expected_finish_seconds=block.expected_finish_seconds,
        task_ids=tuple(block.task_ids),
    )
