"""How much of the prompts a schedule makes the servers read: what they keep of earlier ones is
replayed over the finished schedule. Durations stay those of the workload."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from jobs.simulation.result import PrefillTokens, ScheduledLoad, ScheduledTask
from jobs.simulation.workload import Pair, VirtualBackend, VirtualTask, Workload
from llm.kinds import traits_of
from llm.simulator.prefix_cache import (
    PrefixCache,
    Segment,
    SharedCache,
    SlotCaches,
    least_computed,
)

_FINISH, _LOAD, _START = range(3)
"""Events of one moment are replayed in this order."""


def prompt_tokens(
    workload: Workload, schedule: Sequence[ScheduledTask], loads: Sequence[ScheduledLoad]
) -> PrefillTokens | None:
    """None where no task of the workload has a prompt."""
    prompts = {task.id: _segments(task) for task in workload.tasks if task.prompt_tokens}
    if not prompts:
        return None
    backends = {backend.name: backend for backend in workload.backends}
    caches: dict[Pair, PrefixCache] = {}
    slot_of: dict[str, int] = {}
    computed = total = 0
    for _, what, pair, task_id in _events(schedule, loads):
        if what == _LOAD:
            caches.pop(pair, None)
            continue
        cache = caches.setdefault(pair, _cache(backends[pair[0]]))
        if what == _FINISH:
            if task_id in slot_of:
                cache.give_back(slot_of.pop(task_id))
            continue
        prompt = prompts.get(task_id, ())
        slot_of[task_id], cached = cache.take(prompt)
        whole = sum(tokens for _, tokens in prompt)
        computed, total = computed + whole - cached, total + whole
    done = [prompts[entry.task] for entry in schedule if entry.task in prompts]
    return PrefillTokens(computed, total, least_computed(done))


def _segments(task: VirtualTask) -> tuple[Segment, ...]:
    """The shared pieces, then what is the task's own."""
    own = task.prompt_tokens - sum(tokens for _, tokens in task.prefix)
    return (*task.prefix, (("own", task.id), own))


def _cache(backend: VirtualBackend) -> PrefixCache:
    by_slot = backend.prompt_slots or traits_of(backend.kind).keeps_prompts_by_slot
    return SlotCaches(backend.slots) if by_slot else SharedCache()


def _events(
    schedule: Sequence[ScheduledTask], loads: Sequence[ScheduledLoad]
) -> list[tuple[float, int, Pair, str]]:
    events = [(one.start_seconds, _LOAD, (one.backend, one.model), "") for one in loads]
    for entry in schedule:
        pair = (entry.backend, entry.model)
        events.append((entry.start_seconds, _START, pair, entry.task))
        events.append((entry.finish_seconds, _FINISH, pair, entry.task))
    return sorted(events, key=itemgetter(0, 1))
