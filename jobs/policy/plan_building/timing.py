"""Expected start and finish of the blocks of a plan, and the tasks that go nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jobs.policy.plan_building.choices import Router
from jobs.policy.plan_building.memory import capacity, effective_slots, models_in_memory
from jobs.policy.task_order import prompt_groups
from jobs.policy.types import (
    BackendView,
    BlockKey,
    ModelView,
    PlannedBlock,
    PolicyName,
    Snapshot,
    TaskView,
    Unplaced,
)
from models.states import Priority


def timed_blocks(
    snapshot: Snapshot,
    router: Router,
    runs: Sequence[tuple[BlockKey, Sequence[TaskView]]],
    reason: str | Sequence[str],
) -> tuple[PlannedBlock, ...]:
    """Blocks in the given order; those of one backend follow each other in time."""
    reasons = [reason] * len(runs) if isinstance(reason, str) else reason
    clocks = {view.name: _Clock(view, snapshot) for view in snapshot.backends}
    blocks = []
    for (key, tasks), why in zip(runs, reasons, strict=True):
        model = router.model(key)
        if model is not None:
            blocks.append(clocks[key.backend].next_block(key, model, tasks, why))
    return tuple(blocks)


def unplaced(tasks: Iterable[TaskView], router: Router) -> tuple[Unplaced, ...]:
    """Every task without an option, with the reasons of all that was not possible."""
    found = []
    for task in tasks:
        choices = router.choices(task)
        if not choices.options:
            found.append(Unplaced(task.id, _why_nowhere(choices.note), choices.rejected))
    return tuple(found)


class _Clock:
    """Walks down one lane."""

    def __init__(self, view: BackendView, snapshot: Snapshot) -> None:
        self.view = view
        self.snapshot = snapshot
        self.held = list(models_in_memory(view))
        self.last = view.current
        running = sum(
            task.expected_remaining_seconds
            for task in snapshot.running
            if task.key.backend == view.name
        )
        self.now = running / max(1, view.slots)

    def next_block(
        self, key: BlockKey, model: ModelView, tasks: Sequence[TaskView], reason: str
    ) -> PlannedBlock:
        load = 0.0 if self._has(key) else max(model.load_seconds, 0.0)
        start = self.now + load
        work = sum(
            model.service_by_category.get(task.category, model.service_seconds) for task in tasks
        )
        slots = effective_slots(self.view, heavy=model.heavy)
        self.now = start + work / min(slots, max(1, len(tasks)))
        drains = self._hold(key)
        return PlannedBlock(
            key=key,
            task_ids=tuple(task.id for task in tasks),
            reason=reason,
            heavy=model.heavy,
            needs_load=load > 0.0,
            drains=drains,
            task_seconds=work / max(1, len(tasks)),
            task_variation=model.service_variation,
            slots=slots,
            expected_load_seconds=load,
            expected_start_seconds=start,
            expected_finish_seconds=self.now,
            urgent=any(task.priority is Priority.URGENT for task in tasks),
            groups=self._groups(tasks),
        )

    def _groups(self, tasks: Sequence[TaskView]) -> tuple[int, ...]:
        config = self.snapshot.config
        if (self.view.prompt_slots or 1) == 1 or config.policy is not PolicyName.RELOAD_AWARE:
            return ()
        return prompt_groups(tasks, now=self.snapshot.now, config=config)

    def _has(self, key: BlockKey) -> bool:
        if self.last is not None and self.last.model == key.model and self.last != key:
            return False
        return key.model in self.held

    def _hold(self, key: BlockKey) -> bool:
        """Whether another model must leave for it."""
        if key.model in self.held:
            self.held.remove(key.model)
        self.held.append(key.model)
        leaving = max(0, len(self.held) - capacity(self.view))
        del self.held[:leaving]
        self.last = key
        return leaving > 0


def _why_nowhere(note: str) -> str:
    return f"no server can take it now; {note}" if note else "no server can take it now"
