"""First come, first served: the order of a plain queue, each task to the server free soonest."""

from __future__ import annotations

from jobs.policy.plan_building.choices import Option, Router
from jobs.policy.plan_building.timing import timed_blocks, unplaced
from jobs.policy.types import BlockKey, Plan, PolicyName, Snapshot, TaskRoute, TaskView


def plan_fifo(snapshot: Snapshot) -> Plan:
    """Priority, then age; a model is never waited for and never kept."""
    router = Router(snapshot)
    waiting = sorted(snapshot.tasks, key=lambda t: (-t.priority.rank, t.created_at, t.id))
    finish = _running_seconds(snapshot)
    routes: list[TaskRoute] = []
    runs: list[tuple[BlockKey, list[TaskView]]] = []
    last: dict[str, tuple[BlockKey, list[TaskView]]] = {}
    for task in waiting:
        choices = router.choices(task)
        if not choices.options:
            continue
        option = min(choices.options, key=lambda o: _rank(o, finish))
        slots = max(1, router.backends[option.key.backend].slots)
        finish[option.key.backend] += option.seconds / slots
        routes.append(
            TaskRoute(
                (task.id,), option.key, "tasks go in order of arrival; this server is free first"
            )
        )
        run = last.get(option.key.backend)
        if run is None or run[0] != option.key:
            run = last[option.key.backend] = (option.key, [])
            runs.append(run)
        run[1].append(task)
    return Plan(
        policy=PolicyName.FIFO,
        blocks=timed_blocks(snapshot, router, runs, "next in order of arrival"),
        routes=tuple(routes),
        unplaced=unplaced(waiting, router),
        reason=f"{len(routes)} tasks in order of priority and arrival",
    )


def _rank(option: Option, finish: dict[str, float]) -> tuple[float, int, BlockKey]:
    return finish[option.key.backend] * option.weight, option.rank, option.key


def _running_seconds(snapshot: Snapshot) -> dict[str, float]:
    slots = {view.name: max(1, view.slots) for view in snapshot.backends}
    seconds = dict.fromkeys(slots, 0.0)
    for task in snapshot.running:
        if task.key.backend in seconds:
            seconds[task.key.backend] += task.expected_remaining_seconds / slots[task.key.backend]
    return seconds
