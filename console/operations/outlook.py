"""When work will be done: the plan in force and what is in flight, played forward."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from jobs.policy.forecast import (
    Ahead,
    BlockAhead,
    Duration,
    Forecast,
    InFlight,
    Retries,
    SecondsRange,
    forecast,
)
from jobs.policy.outcome import RetryConfig
from jobs.settings.load import Settings
from models import ahead, block, counts
from models.ahead import BackedOff, SentTask
from models.block import BlockInForce, TaskTimes

SEED = 7
"""The same state gives the same range: a page that is read twice does not flicker."""
USUAL_TASK_SECONDS = 10.0
"""Of a task in flight that no plan of ours sent."""


@dataclass(frozen=True, slots=True)
class Eta:
    """Done between these moments: one time in ten before the first, one in ten after the last."""

    earliest: datetime
    middle: datetime
    latest: datetime


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """``before`` tasks of the same block start earlier; of a task that runs, ``done_in`` alone is
    known. Both ranges count seconds from now."""

    backend: str = ""
    model: str = ""
    before: int = 0
    starts_in: SecondsRange | None = None
    done_in: SecondsRange | None = None


@dataclass(frozen=True, slots=True)
class OpenWork:
    """What a forecast starts from: open blocks, sent tasks, and tasks in back-off. ``last`` is the
    newest block of all where none is open."""

    blocks: Sequence[BlockInForce] = ()
    sent: Sequence[SentTask] = ()
    backed_off: BackedOff = field(default_factory=BackedOff)
    last: TaskTimes | None = None


def open_work() -> OpenWork:
    """The open work of this moment. Needs a session."""
    blocks = block.open_blocks()
    # Without a block, tasks in back-off are judged by the newest that there was.
    last = None if blocks else block.last_planned()
    return OpenWork(blocks, ahead.sent(), ahead.backed_off(), last)


def forecast_of(
    work: OpenWork, settings: Settings, *, waiting: int | None = None, retried_share: float = 0.0
) -> Forecast:
    """Play the open work forward.

    ``waiting`` counts the rows that are ``pending``, where the caller knows it: those in no block
    are then part of it. ``retried_share`` is the part of the recent attempts that was followed by
    another.
    """
    last = work.last
    open_blocks = [_block(row) for row in work.blocks if row.remaining > 0]
    planned = sum(one.tasks for one in open_blocks)
    loads = {row.id: _load_left(row) for row in work.blocks}
    slots = {row.backend: row.slots for row in work.blocks}
    if last is not None:
        slots = {last.backend: last.slots}
    return forecast(
        Ahead(
            blocks=tuple(open_blocks),
            in_flight=tuple(_in_flight(one, loads) for one in work.sent),
            slots=slots,
            total=settings.max_concurrent,
            unplanned=max(0, (waiting or 0) - planned - len(work.backed_off.delays)),
            delayed=tuple(work.backed_off.delays),
            usual=_duration(*((last.task_seconds, last.task_variation) if last else (None, None))),
            retries=_retries(retried_share, settings),
        ),
        draw=random.Random(SEED).random,
    )


def _retries(share: float, settings: Settings) -> Retries:
    config = RetryConfig(base_seconds=settings.retry_delay_seconds)
    return Retries(share, config.base_seconds * (1.0 + config.spread / 2.0), config.factor)


def eta(found: SecondsRange | None, *, now: datetime) -> Eta | None:
    if found is None:
        return None
    low, middle, high = (
        now + timedelta(seconds=seconds) for seconds in (found.low, found.middle, found.high)
    )
    return Eta(low, middle, high)


def position_of(task_id: str, settings: Settings) -> QueuePosition | None:
    """A task's place in the plan, or when the running one is done; None where neither is known.
    Needs a session."""
    place = block.places_of([task_id]).get(task_id)
    found = forecast_of(open_work(), settings)
    if place is None:
        done = found.finish_of([(task_id, 0)])
        return QueuePosition(done_in=done) if done else None
    return QueuePosition(
        backend=place.backend,
        model=place.model,
        before=place.before,
        starts_in=found.start_of(place.block_id, place.before),
        done_in=found.finish_of([(place.block_id, place.before)]),
    )


def end_of(task_ids: Sequence[str] | None, settings: Settings) -> SecondsRange | None:
    """When the last of these tasks, or of all that is left, is done; None where none is left or
    nothing is planned. Those in no block yet end with the last of all. Needs a session."""
    found = forecast_of(open_work(), settings, waiting=counts.by_status()["pending"])
    if task_ids is None:
        return found.end()
    left = ahead.left_of(task_ids)
    places = block.places_of(left)
    wanted = [
        (places[task_id].block_id, places[task_id].before) if task_id in places else (task_id, 0)
        for task_id in left
    ]
    return found.finish_of(wanted) if found.holds(wanted) else found.end()


def as_range(found: SecondsRange | None, *, now: datetime) -> dict[str, datetime] | None:
    """``{"from", "to"}``, as every document says it."""
    done = eta(found, now=now)
    return {"from": done.earliest, "to": done.latest} if done else None


def _block(row: BlockInForce) -> BlockAhead:
    return BlockAhead(
        block_id=row.id,
        backend=row.backend,
        tasks=row.remaining,
        duration=_duration(row.task_seconds, row.task_variation),
        load_seconds=0.0 if row.started_at else row.expected_load_seconds,
        drains=row.drains,
    )


def _load_left(row: BlockInForce) -> float:
    """Of a block's own load, which its first tasks wait for."""
    return row.expected_load_seconds if row.needs_load else 0.0


def _in_flight(one: SentTask, loads: dict[str, float]) -> InFlight:
    elapsed = one.elapsed_seconds
    load_seconds = 0.0
    if elapsed is not None:
        load_seconds = max(0.0, loads.get(one.block_id or "", 0.0) - elapsed)
    return InFlight(
        task_id=one.task_id,
        backend=one.backend,
        duration=_duration(one.task_seconds, one.task_variation),
        elapsed_seconds=elapsed if not load_seconds else 0.0,
        load_seconds=load_seconds,
    )


def _duration(seconds: float | None, variation: float | None) -> Duration:
    return Duration(seconds or USUAL_TASK_SECONDS, 0.5 if variation is None else variation)
