"""A lane by time: what a server did lately, does now, and will do by the plan in force."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from console.operations.lanes import lane_of
from console.operations.outlook import OpenWork
from jobs.policy.forecast import Forecast
from models import block, model_loads, request
from models.ahead import SentTask
from models.block import BlockInForce, StartedBlock
from models.model_loads import PastLoad
from models.request import ServedCall

HOUR_SECONDS = 3600.0
HORIZONS = (240.0, 600.0, 1200.0, HOUR_SECONDS)
"""Seconds ahead that a strip may show: as few as hold all that is planned."""
PAST_SHARE = 0.25
"""So much is shown of the past, as a share of what is shown of the future."""
LONGEST_BLOCK = timedelta(hours=1)
PAST_BLOCKS, PAST_LOADS, PAST_CHATS = 400, 200, 200

Kind = Literal["past", "running", "planned", "load", "chat"]


@dataclass(frozen=True, slots=True)
class Segment:
    """Seconds are from now, negative in the past. ``low`` and ``high`` bound the end of what is
    still to come: one time in ten it ends before, one in ten after."""

    kind: Kind
    model: str
    start: float
    end: float
    tasks: int = 0
    urgent: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Strips:
    """By backend its segments in order of time, between ``since`` and ``until`` seconds from now;
    ``since`` is negative."""

    lanes: Mapping[str, tuple[Segment, ...]]
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What strips are drawn from."""

    work: OpenWork = field(default_factory=OpenWork)
    started: Sequence[StartedBlock] = ()
    loads: Sequence[PastLoad] = ()
    chats: Sequence[ServedCall] = ()


def look(work: OpenWork, *, now: datetime) -> Seen:
    """Needs a session."""
    since = now - timedelta(seconds=HOUR_SECONDS * PAST_SHARE)
    return Seen(
        work=work,
        started=block.started_since(since - LONGEST_BLOCK, newest=PAST_BLOCKS),
        loads=model_loads.ended_since(since, newest=PAST_LOADS),
        chats=request.served_since(since, newest=PAST_CHATS),
    )


def strips(
    seen: Seen,
    found: Forecast,
    backends: Iterable[str],
    *,
    now: datetime,
    paused: Collection[str] = (),
) -> Strips:
    """Of every backend; all share one scale of time. Nobody knows when a paused one goes on: of its
    plan only what runs is shown."""
    future = {name: _future(name, seen, found) for name in backends}
    for name in paused:
        future[name] = [one for one in future[name] if one.kind == "running"]
    ends = [one.end for several in future.values() for one in several]
    until = next((one for one in HORIZONS if one >= max(ends, default=0.0)), HOUR_SECONDS)
    since = -until * PAST_SHARE
    lanes = {}
    for name, coming in future.items():
        whole = [*_past(name, seen, now), *coming]
        clipped = (_clipped(one, since, until) for one in whole if one.end > since)
        lanes[name] = tuple(one for one in clipped if one.start < one.end)
    return Strips(lanes, since, until)


def tasks_by_block(sent: Iterable[SentTask]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for task in sent:
        found.setdefault(task.block_id or "", []).append(task.task_id)
    return found


def places_of(row: BlockInForce, sent: Mapping[str, Sequence[str]]) -> list[tuple[str, int]]:
    """Where a forecast has the tasks of an open block: those in flight, and the last that waits."""
    waiting = [(row.id, row.remaining - 1)] if row.remaining else []
    return [*((task_id, 0) for task_id in sent.get(row.id, ())), *waiting]


def _past(backend: str, seen: Seen, now: datetime) -> list[Segment]:
    """Blocks, those of one model after each other as one; then loads and chats, which lie over
    them."""
    going_on = {row.id for row in seen.work.blocks if row.in_flight}
    work: list[Segment] = []
    for one in seen.started:
        if one.backend != backend or not one.tasks:
            continue
        start = (one.started_at - now).total_seconds()
        goes_on = one.id in going_on or one.finished_at is None
        end = 0.0 if goes_on else (one.finished_at - now).total_seconds()  # type: ignore[operator]
        last = work[-1] if work else None
        if last is not None and last.model == one.model:
            work[-1] = replace(last, end=max(last.end, end), tasks=last.tasks + one.tasks)
            continue
        if last is not None and last.end > start:
            work[-1] = replace(last, end=start)
        work.append(Segment("past", one.model, start, end, one.tasks))
    loads = (_ended(one.at, one.seconds, "load", one.model, now)
             for one in seen.loads if one.backend == backend)  # fmt: skip
    chats = (
        _ended(
            one.at + timedelta(seconds=one.duration_seconds), one.duration_seconds, "chat", "", now
        )
        for one in seen.chats
        if one.backend == backend
    )
    return [*work, *loads, *chats]


def _ended(at: datetime, seconds: float, kind: Kind, model: str, now: datetime) -> Segment:
    end = (at - now).total_seconds()
    return Segment(kind, model, end - seconds, end)


def _future(backend: str, seen: Seen, found: Forecast) -> list[Segment]:
    sent = tasks_by_block(seen.work.sent)
    segments: list[Segment] = []
    for row in lane_of(seen.work.blocks, backend):
        end = found.finish_of(places_of(row, sent))
        if end is None:
            continue
        begins = None if row.in_flight else found.start_of(row.id, 0)
        start = begins.middle if begins else 0.0
        if begins and row.needs_load and not row.started_at:
            loaded = max(0.0, start - row.expected_load_seconds)
            segments.append(Segment("load", row.model, loaded, start))
        count = row.remaining + row.in_flight
        kind: Kind = "running" if row.in_flight else "planned"
        segments.append(
            Segment(kind, row.model, start, end.middle, count, row.urgent, end.low, end.high)
        )
    return _joined(segments)


def _joined(segments: Sequence[Segment]) -> list[Segment]:
    """Blocks of one model after each other are one to who looks: plans cut them anew all the
    time."""
    joined: list[Segment] = []
    for one in segments:
        last = joined[-1] if joined else None
        if last and last.model == one.model and last.kind != "load" and one.kind != "load":
            joined[-1] = replace(
                last,
                end=max(last.end, one.end),
                tasks=last.tasks + one.tasks,
                urgent=last.urgent or one.urgent,
                low=max(last.low or 0.0, one.low or 0.0),
                high=max(last.high or 0.0, one.high or 0.0),
            )
            continue
        joined.append(replace(one, start=max(one.start, last.end)) if last else one)
    return joined


def _clipped(one: Segment, since: float, until: float) -> Segment:
    return replace(one, start=max(one.start, since), end=min(one.end, until))
