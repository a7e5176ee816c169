"""What a planner sees and what it says. Values only; every choice carries its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from llm.types import BackendKind, Category
from models.states import STEP_OF_PRIORITY_SECONDS, Priority


class PolicyName(StrEnum):
    RELOAD_AWARE = "reload_aware"
    SEED = "seed"
    FIFO = "fifo"


@dataclass(frozen=True, slots=True, order=True)
class BlockKey:
    """Tasks of one key share a resident model: ``num_ctx`` is part of it, a change reloads."""

    backend: str
    model: str
    num_ctx: int = 0


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task as a planner sees it.

    ``preferred_source`` is the name or kind of a preferred backend; ``required_backend`` and
    ``required_model`` are the creator's requirements and are kept where they exist.
    ``avoid`` holds (backend, model) pairs that already failed on this task.
    ``prefix`` names what its prompt begins with (``task_order.prompt_prefix``).
    ``only`` lists the (backend, model) pairs that can run it; None leaves that to its category.
    """

    id: str
    created_at: datetime
    priority: Priority = Priority.MEDIUM
    category: Category = Category.DEFAULT
    complexity: float = 0.5
    preferred_source: str | None = None
    required_backend: str | None = None
    required_model: str | None = None
    num_ctx: int = 0
    prompt_tokens: int = 0
    max_tokens: int = 1024
    bug_probability: float | None = None
    attempt_count: int = 0
    avoid: frozenset[tuple[str, str]] = frozenset()
    prefix: tuple[str, ...] = ()
    only: frozenset[tuple[str, str]] | None = None

    @property
    def needed_context(self) -> int:
        """Tokens of prompt and answer, rounded up to a power of two: few values, so that tasks
        stay alike."""
        return 1 << max(self.prompt_tokens + self.max_tokens - 1, 1).bit_length()


@dataclass(frozen=True, slots=True)
class BackendView:
    """A backend as a planner sees it.

    ``slots`` is the present admission limit, ``in_flight`` what is queued or running there now,
    ``unavailable`` the reason why nothing may be sent (down, breaker open, paused), else None.
    ``closed_models`` are known models to which nothing may be sent, each with the reason: the
    breaker is open, or the server serves a planned one no longer.
    ``loading`` names models whose load was ordered and has not ended. ``interactive`` is what
    people use there or wait for: it stays in memory, and blocks run beside it where they fit.
    ``prompt_slots`` is how many requests it works on at once where each of them keeps the prompt
    that it read last, None where that is not known or one store serves all.
    """

    name: str
    kind: BackendKind
    slots: int
    in_flight: int = 0
    resident: tuple[str, ...] = ()
    max_resident: int = 1
    heavy_limit: int = 2
    current: BlockKey | None = None
    unavailable: str | None = None
    closed_models: Mapping[str, str] = field(default_factory=dict)
    loading: tuple[str, ...] = ()
    interactive: BlockKey | None = None
    prompt_slots: int | None = None


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model at a backend. Seconds are learned means; ``rank`` is its order in the scan.
    ``context_tokens`` is the longest context it has there, None where that is not known.

    ``ranks`` is its order at its backend by category, ``strengths`` how well it suits a category,
    in doublings of size (``llm.catalog``): comparable between backends, equal where unknown.
    ``service_variation`` is the standard deviation of service times as a part of their mean.
    """

    backend: str
    name: str
    categories: tuple[Category, ...] = (Category.DEFAULT,)
    heavy: bool = False
    load_seconds: float = 10.0
    service_seconds: float = 10.0
    service_by_category: Mapping[Category, float] = field(default_factory=dict)
    service_variation: float = 0.5
    rank: int = 0
    context_tokens: int | None = None
    ranks: Mapping[Category, int] = field(default_factory=dict)
    strengths: Mapping[Category, float] = field(default_factory=dict)

    def rank_for(self, category: Category) -> int:
        return self.ranks.get(category, self.rank)

    def strength_for(self, category: Category) -> float:
        return self.strengths.get(category, 0.0)


@dataclass(frozen=True, slots=True)
class PlanningConfig:
    policy: PolicyName = PolicyName.RELOAD_AWARE
    batch_size: int = 50
    window: int = 2000
    batch_by_model: bool = True
    interleave_blocks: bool = True
    heavy_light_pairing: bool = True
    fairness_seconds: float = STEP_OF_PRIORITY_SECONDS
    allow_two_heavy: bool = True


@dataclass(frozen=True, slots=True)
class RunningTask:
    """A task that is queued or running now; part of what a backend still has to finish."""

    task_id: str
    key: BlockKey
    expected_remaining_seconds: float


LEAST_OF_A_KIND = 64
"""More than one plan may send, so that no block looks finished while its kind waits outside."""


@dataclass(frozen=True, slots=True)
class FurtherTasks:
    """``count`` more tasks just like the task ``like`` wait outside the window."""

    like: str
    count: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a planner may know at ``now``."""

    now: datetime
    tasks: tuple[TaskView, ...]
    backends: tuple[BackendView, ...]
    models: tuple[ModelView, ...]
    running: tuple[RunningTask, ...] = ()
    beyond: tuple[FurtherTasks, ...] = ()
    config: PlanningConfig = field(default_factory=PlanningConfig)


@dataclass(frozen=True, slots=True)
class Rejected:
    option: str
    reason: str


@dataclass(frozen=True, slots=True)
class TaskRoute:
    """Where tasks that fit alike go, why, and what was not chosen."""

    task_ids: tuple[str, ...]
    key: BlockKey
    reason: str
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A task that can go nowhere now; it waits, it does not fail."""

    task_id: str
    reason: str
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedBlock:
    """A run of tasks with one key, in the order in which they shall start.

    ``task_seconds`` is the expected mean of its tasks, ``task_variation`` their standard deviation
    as a part of it, ``slots`` how many run at once. ``drains``: its load waits for what runs there.
    ``groups``: of each task (`jobs.policy.prompt_groups`), where a freed slot chooses by them.
    """

    key: BlockKey
    task_ids: tuple[str, ...]
    reason: str
    heavy: bool = False
    needs_load: bool = True
    drains: bool = True
    task_seconds: float = 0.0
    task_variation: float = 0.5
    slots: int = 1
    expected_load_seconds: float = 0.0
    expected_start_seconds: float = 0.0
    expected_finish_seconds: float = 0.0
    urgent: bool = False
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Blocks in lane order (those of one backend run one after another)."""

    policy: PolicyName
    blocks: tuple[PlannedBlock, ...]
    routes: tuple[TaskRoute, ...]
    unplaced: tuple[Unplaced, ...] = ()
    reason: str = ""

    def lane(self, backend: str) -> tuple[PlannedBlock, ...]:
        return tuple(block for block in self.blocks if block.key.backend == backend)


@dataclass(frozen=True, slots=True)
class OpenBlock:
    """A planned block of which ``remaining`` tasks have not been dispatched.

    ``waiting`` and ``running`` are the groups of its next tasks and of those in flight; none where
    its tasks start in their order.
    """

    block_id: str
    key: BlockKey
    remaining: int
    in_flight: int = 0
    heavy: bool = False
    urgent: bool = False
    waiting: tuple[int, ...] = ()
    running: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DispatchOrder:
    """Send ``count`` tasks of a block to the queue of its backend: those at the positions
    ``chosen`` among the unsent ones, the next ones where that is empty."""

    block_id: str
    key: BlockKey
    count: int
    reason: str
    chosen: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PreloadOrder:
    """Load this model now, while the block before it drains."""

    backend: str
    model: str
    num_ctx: int
    reason: str


@dataclass(frozen=True, slots=True)
class DispatchDecision:
    orders: tuple[DispatchOrder, ...] = ()
    preloads: tuple[PreloadOrder, ...] = ()
    held: tuple[Rejected, ...] = ()
