"""An independent check of a schedule: does it keep the rules of the virtual servers?

Shares no code with the engine. It takes the workload and the two lists that ``--schedule`` prints,
and looks only at those: who ran where and when, what was loaded and evicted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jobs.simulation.result import ScheduledLoad, ScheduledTask
from jobs.simulation.workload import VirtualBackend, Workload

_SLACK = 1e-6
_FOREVER = float("inf")


def broken_rules(
    workload: Workload,
    schedule: Sequence[ScheduledTask],
    loads: Sequence[ScheduledLoad],
    *,
    all_tasks: bool = True,
) -> list[str]:
    """Every broken rule in words; empty for a valid schedule.

    Rules: each task once, where it may run, not before its arrival, for its true time; never more
    than the slots; its model resident from before its start to after its end; loads take their
    seconds; never more residents than allowed; a model in use is never evicted.
    """
    found = [*_tasks(workload, schedule, all_tasks=all_tasks), *_load_times(workload, loads)]
    for backend in workload.backends:
        here = [entry for entry in schedule if entry.backend == backend.name]
        stays, wrong = _stays(backend, [load for load in loads if load.backend == backend.name])
        found += wrong
        found += _slots(backend, here)
        found += _residency(backend, here, stays)
        found += _memory(backend, stays)
        found += _outages(backend, here)
    return found


def _tasks(
    workload: Workload, schedule: Sequence[ScheduledTask], *, all_tasks: bool
) -> Iterable[str]:
    tasks = {task.id: task for task in workload.tasks}
    counts = Counter(entry.task for entry in schedule)
    yield from (f"{task} ran {count} times" for task, count in counts.items() if count > 1)
    if all_tasks:
        yield from (f"{task} never ran" for task in tasks if task not in counts)
    for entry in schedule:
        task = tasks.get(entry.task)
        if task is None:
            yield f"{entry.task} is not in the workload"
            continue
        seconds = task.service_seconds.get((entry.backend, entry.model))
        if seconds is None:
            yield f"{entry.task} may not run at {entry.backend}/{entry.model}"
        elif abs(entry.finish_seconds - entry.start_seconds - seconds) > _SLACK * (1 + seconds):
            yield f"{entry.task} ran {entry.finish_seconds - entry.start_seconds} of {seconds} s"
        if entry.start_seconds < task.arrival_seconds - _SLACK:
            yield f"{entry.task} started before it arrived"


def _load_times(workload: Workload, loads: Iterable[ScheduledLoad]) -> Iterable[str]:
    seconds = {(m.backend, m.model): m.load_seconds for m in workload.models}
    for load in loads:
        needed = seconds.get((load.backend, load.model))
        took = load.ready_seconds - load.start_seconds
        if needed is None:
            yield f"{load.backend} has no model {load.model}"
        elif took < needed - _SLACK:
            yield f"{load.backend}/{load.model} loaded in {took} of {needed} s"


@dataclass(frozen=True, slots=True)
class _Stay:
    """A model's time in memory, from the start of its load; it serves from ``ready`` on."""

    model: str
    start: float
    ready: float
    end: float


def _stays(
    backend: VirtualBackend, loads: Sequence[ScheduledLoad]
) -> tuple[list[_Stay], list[str]]:
    held: dict[str, tuple[float, float]] = dict.fromkeys(
        backend.resident[-backend.resident_models :], (0.0, 0.0)
    )
    stays: list[_Stay] = []
    wrong: list[str] = []
    deaths = sorted(start for start, _ in backend.outages)
    for load in sorted(loads, key=lambda load: load.start_seconds):
        while deaths and deaths[0] <= load.start_seconds:
            died = deaths.pop(0)
            stays += [_Stay(model, s, r, died) for model, (s, r) in held.items()]
            held.clear()
        if load.evicted is not None:
            if load.evicted not in held:
                wrong.append(f"{backend.name} evicted {load.evicted}, which was not there")
            else:
                start, ready = held.pop(load.evicted)
                stays.append(_Stay(load.evicted, start, ready, load.start_seconds))
        if load.model in held:
            wrong.append(f"{backend.name} loaded {load.model}, which was there")
        held[load.model] = (load.start_seconds, load.ready_seconds)
    end = deaths[0] if deaths else _FOREVER
    stays += [_Stay(model, s, r, end) for model, (s, r) in held.items()]
    return stays, wrong


def _slots(backend: VirtualBackend, here: Sequence[ScheduledTask]) -> Iterable[str]:
    most, at = _most_at_once((entry.start_seconds, entry.finish_seconds) for entry in here)
    if most > backend.slots:
        yield f"{backend.name} ran {most} tasks at {at:.3f} s with {backend.slots} slots"


def _residency(
    backend: VirtualBackend, here: Sequence[ScheduledTask], stays: Sequence[_Stay]
) -> Iterable[str]:
    by_model: Mapping[str, list[_Stay]] = {stay.model: [] for stay in stays}
    for stay in stays:
        by_model[stay.model].append(stay)
    for entry in here:
        if not any(
            stay.ready - _SLACK <= entry.start_seconds and entry.finish_seconds <= stay.end + _SLACK
            for stay in by_model.get(entry.model, ())
        ):
            yield f"{entry.task} ran at {backend.name} while {entry.model} was not resident"


def _memory(backend: VirtualBackend, stays: Sequence[_Stay]) -> Iterable[str]:
    most, at = _most_at_once((stay.start, stay.end) for stay in stays)
    if most > backend.resident_models:
        yield f"{backend.name} held {most} models at {at:.3f} s"


def _outages(backend: VirtualBackend, here: Sequence[ScheduledTask]) -> Iterable[str]:
    for start, end in backend.outages:
        yield from (
            f"{entry.task} ran while {backend.name} was down"
            for entry in here
            if entry.start_seconds < end - _SLACK and entry.finish_seconds > start + _SLACK
        )


def _most_at_once(spans: Iterable[tuple[float, float]]) -> tuple[int, float]:
    """The largest number of spans at one moment; one that ends makes room for one that starts."""
    edges = [edge for start, end in spans if end > start for edge in ((start, 1), (end, -1))]
    edges.sort()
    most, now, at = 0, 0, 0.0
    for moment, change in edges:
        now += change
        if now > most:
            most, at = now, moment
    return most, at
