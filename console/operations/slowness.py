"""Why it takes as long as it does: the one cause that weighs most, of figures that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from console.operations.lanes import binding, lane_of
from console.operations.standing import Standing
from console.operations.time_shares import TimeShares
from jobs.admission.limits import Limit
from models.block import BlockInForce

PAUSED = "{name} is paused by hand until `kos resume`: the others do what they can of its work."
SILENT = "{name} does not answer: the others do what they can of its work."
CLOSED = "{name} takes no tasks ({detail}): the others do what they can of its work."
BETWEEN_TRIES = "All {n} that wait have failed before and wait for the time of their next try."
NO_SLOTS = "{name} takes longest ({n} tasks left): it may start none now ({detail})."
CHATS = "{name} takes longest ({n} tasks left): people's chats hold {held} of its {slots} slots."
LOADS = (
    "{name} takes longest ({n} tasks left): {share} of its working time goes into loading models."
)
QUEUES_THERE = (
    "{name} takes longest ({n} tasks left): for {share} of its working time calls wait inside the "
    "server, which runs fewer at once than it is sent."
)
PROMPTS = (
    "{name} takes longest ({n} tasks left): {share} of its working time goes into reading prompts."
)
FULL = "{name} takes longest ({n} tasks left): it runs {slots} at once ({detail})."
TOTAL_FULL = (
    "{name} takes longest ({n} tasks left): all backends together run {total} at once ({reason})."
)
WRITES = "{name} takes longest ({n} tasks left): a task of {model} takes about {span} there."
SENTENCES = (
    PAUSED, SILENT, CLOSED, BETWEEN_TRIES, NO_SLOTS, CHATS, LOADS, QUEUES_THERE, PROMPTS, FULL,
    TOTAL_FULL, WRITES,
)  # fmt: skip
MUCH = 0.3
"""From this share of the working time on, it is what the time goes into."""
MOST = 0.5
"""The same for prompts, which have to be read anyhow."""


@dataclass(frozen=True, slots=True)
class LaneFigures:
    """One backend as it stands. ``left`` counts the tasks that its plan holds or that run there;
    ``shares`` are those of ``time_shares``, None where nothing ran."""

    name: str
    paused: bool = False
    blocked: str | None = None
    in_flight: int = 0
    chats: int = 0
    slots: int = 1
    limit_reason: str = ""
    left: int = 0
    ends_in_seconds: float = 0.0
    model: str = ""
    task_seconds: float = 0.0
    shares: TimeShares | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """``what`` is one of ``SENTENCES``."""

    what: str
    values: Mapping[str, Any]


def slowness(
    standing: Standing,
    blocks: Sequence[BlockInForce],
    shares: Mapping[str, TimeShares],
    *,
    pending: int,
    delayed: int,
) -> Cause | None:
    """``blocks`` are the open ones; the rest as `cause_of`."""
    lanes = [lane_figures(name, standing, blocks, shares.get(name)) for name in standing.states]
    return cause_of(lanes, pending=pending, delayed=delayed, total=standing.total)


def lane_figures(
    name: str, standing: Standing, blocks: Sequence[BlockInForce], shares: TimeShares | None
) -> LaneFigures:
    """``blocks`` are the open ones of any backend."""
    state, held = standing.states[name], standing.slots.get(name)
    mine = lane_of(blocks, name)
    leases = held.leases if held else ()
    slots, reason = binding(state.limit, leases)
    longest = max(mine, key=lambda row: row.remaining, default=None)
    return LaneFigures(
        name=name,
        paused=state.paused,
        blocked=state.blocked or state.error,
        in_flight=len(leases),
        chats=held.chats if held else 0,
        slots=slots,
        limit_reason=reason,
        left=sum(row.remaining + row.in_flight for row in mine),
        ends_in_seconds=max((row.expected_finish_seconds for row in mine), default=0.0),
        model=longest.model if longest else "",
        task_seconds=longest.task_seconds if longest else 0.0,
        shares=shares,
    )


def cause_of(
    lanes: Sequence[LaneFigures], *, pending: int, delayed: int, total: Limit
) -> Cause | None:
    """None where nothing is left, nothing is planned, or no backend is open: then the verdict says
    what is wrong. ``delayed`` of the ``pending`` wait for the time of their next try."""
    open_lanes = [lane for lane in lanes if not lane.blocked]
    if not open_lanes:
        return None
    if pending and delayed >= pending and not any(lane.left for lane in lanes):
        return Cause(BETWEEN_TRIES, {"n": pending})
    last = max(open_lanes, key=lambda lane: (lane.left > 0, lane.ends_in_seconds))
    if not last.left:
        return None
    for lane in lanes:
        if lane.blocked:
            silent = "unreachable" in lane.blocked
            what = PAUSED if lane.paused else SILENT if silent else CLOSED
            return Cause(what, {"name": lane.name, "detail": lane.blocked})
    return _of_lane(last, full=sum(lane.in_flight for lane in lanes) >= total.slots, total=total)


def _of_lane(lane: LaneFigures, *, full: bool, total: Limit) -> Cause:
    part, where = _largest_part(lane.shares or TimeShares())
    waits = lane.left > lane.in_flight
    rules = (
        (lane.slots == 0, NO_SLOTS),
        (lane.chats * 2 > lane.slots, CHATS),
        (where is not None, where),
        (waits and lane.in_flight >= lane.slots, FULL),
        (waits and full, TOTAL_FULL),
    )
    what = next((what for holds, what in rules if holds and what), WRITES)
    values = {
        "name": lane.name, "n": lane.left, "slots": lane.slots, "detail": lane.limit_reason,
        "held": lane.chats, "share": f"{part:.0%}", "total": total.slots, "reason": total.reason,
        "model": lane.model, "span": lane.task_seconds,
    }  # fmt: skip
    return Cause(what, values)


def _largest_part(shares: TimeShares) -> tuple[float, str | None]:
    """The largest part of the working time that answers do not need, if it is large."""
    busy = 1.0 - shares.idle
    if busy <= 0.0:
        return 0.0, None
    parts = (
        (shares.load, MUCH, LOADS),
        (shares.queue, MUCH, QUEUES_THERE),
        (shares.prefill, MOST, PROMPTS),
    )
    large = [(part / busy, what) for part, least, what in parts if part / busy >= least]
    return max(large, default=(0.0, None))
