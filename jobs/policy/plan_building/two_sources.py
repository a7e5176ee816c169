"""The planner of the worker that came before this system, kept for comparison and as a fallback.

Batches of 50. Under heavy/light pairing sources alternate (even task to MLX, odd to Ollama),
otherwise complexity decides, and ``bug_probability`` where complexity does not. The model is the
first of the category in the scan of that source. Tasks are grouped by (source, model), groups
ordered MLX heavy, Ollama light, MLX light, Ollama heavy; the queue takes one task of every group
in turn, or with interleaving off the whole groups, without pairing the largest first.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobs.policy.plan_building.choices import Option, Router
from jobs.policy.plan_building.timing import timed_blocks, unplaced
from jobs.policy.types import (
    BlockKey,
    Plan,
    PlanningConfig,
    PolicyName,
    Snapshot,
    TaskRoute,
    TaskView,
)
from llm.types import BackendKind, Category

COMPLEX_TO_MLX = 0.6
SIMPLE_TO_OLLAMA = 0.4
BUGGY_TO_MLX = 0.5

_Group = tuple[BlockKey, bool, list[TaskView]]


def plan_two_sources(snapshot: Snapshot) -> Plan:
    """One batch, in the order in which the former worker would have sent it."""
    router = Router(snapshot)
    config = snapshot.config
    waiting = sorted(snapshot.tasks, key=lambda t: (-t.priority.rank, t.created_at, t.id))
    able = [task for task in waiting if router.choices(task).options]
    batch = able[: max(1, config.batch_size)]
    routes, options = _route(batch, router, config)
    queue = _queue(batch, options, router, config)
    return Plan(
        policy=PolicyName.SEED,
        blocks=timed_blocks(snapshot, router, _runs(queue), "next in the batch's queue"),
        routes=tuple(routes),
        unplaced=unplaced(waiting, router),
        reason=f"a batch of {len(batch)} of {len(able)} tasks",
    )


def _route(
    batch: Sequence[TaskView], router: Router, config: PlanningConfig
) -> tuple[list[TaskRoute], dict[str, Option]]:
    routes, chosen = [], {}
    sent = {True: 0, False: 0}
    for place, task in enumerate(batch):
        choices = router.choices(task)
        if config.heavy_light_pairing:
            to_mlx, why = place % 2 == 0, f"task {place} of the batch, sources alternate"
        else:
            to_mlx, why = _by_task(task, mlx_first=sent[True] <= sent[False])
        option, why = _at_source(choices.options, router, to_mlx=to_mlx, why=why, turn=place)
        sent[_is_mlx(option, router)] += 1
        chosen[task.id] = option
        routes.append(TaskRoute((task.id,), option.key, why, choices.rejected))
    return routes, chosen


def _by_task(task: TaskView, *, mlx_first: bool) -> tuple[bool, str]:
    if task.preferred_source in (BackendKind.MLX.value, BackendKind.OLLAMA.value):
        return task.preferred_source == BackendKind.MLX.value, "the source the expert prefers"
    demanding = task.category in (Category.REASONING, Category.CODING)
    if task.complexity > COMPLEX_TO_MLX and demanding:
        return True, f"complexity {task.complexity:.2f}"
    if task.complexity < SIMPLE_TO_OLLAMA or task.category is Category.FAST:
        return False, f"complexity {task.complexity:.2f}"
    if task.bug_probability is not None:
        return task.bug_probability > BUGGY_TO_MLX, f"bug probability {task.bug_probability:.2f}"
    return mlx_first, "the source with fewer tasks"


def _at_source(
    options: Sequence[Option], router: Router, *, to_mlx: bool, why: str, turn: int
) -> tuple[Option, str]:
    """The first model of the scan at that source; servers of one source take turns."""
    source = [option for option in options if _is_mlx(option, router) is to_mlx]
    if not source:
        source, why = list(options), f"{why}; that source cannot take it"
    servers = sorted({option.key.backend for option in source})
    server = servers[(turn // 2) % len(servers)]
    here = [option for option in source if option.key.backend == server]
    return min(here, key=lambda option: (option.rank, option.key)), why


def _is_mlx(option: Option, router: Router) -> bool:
    return router.backends[option.key.backend].kind is BackendKind.MLX


def _queue(
    batch: Sequence[TaskView],
    options: dict[str, Option],
    router: Router,
    config: PlanningConfig,
) -> list[tuple[BlockKey, TaskView]]:
    if not config.batch_by_model:
        by_source = sorted(batch, key=lambda task: not _is_mlx(options[task.id], router))
        return [(options[task.id].key, task) for task in by_source]
    groups = _ordered(_grouped(batch, options), router, config)
    if not config.interleave_blocks:
        return [(key, task) for key, _, tasks in groups for task in tasks]
    longest = max((len(tasks) for _, _, tasks in groups), default=0)
    return [
        (key, tasks[turn])
        for turn in range(longest)
        for key, _, tasks in groups
        if turn < len(tasks)
    ]


def _grouped(batch: Sequence[TaskView], options: dict[str, Option]) -> list[_Group]:
    groups: dict[BlockKey, _Group] = {}
    for task in batch:
        option = options[task.id]
        groups.setdefault(option.key, (option.key, option.heavy, []))[2].append(task)
    return list(groups.values())


def _ordered(groups: list[_Group], router: Router, config: PlanningConfig) -> list[_Group]:
    if not config.heavy_light_pairing:
        return sorted(groups, key=lambda group: -len(group[2]))

    def place(group: _Group) -> int:
        mlx = router.backends[group[0].backend].kind is BackendKind.MLX
        return {(True, True): 0, (False, False): 1, (True, False): 2, (False, True): 3}[
            mlx, group[1]
        ]

    return sorted(groups, key=place)


def _runs(queue: Sequence[tuple[BlockKey, TaskView]]) -> list[tuple[BlockKey, list[TaskView]]]:
    """Tasks that follow each other in one lane with one key form a block."""
    runs: list[tuple[BlockKey, list[TaskView]]] = []
    last: dict[str, tuple[BlockKey, list[TaskView]]] = {}
    for key, task in queue:
        run = last.get(key.backend)
        if run is None or run[0] != key:
            run = last[key.backend] = (key, [])
            runs.append(run)
        run[1].append(task)
    return runs
