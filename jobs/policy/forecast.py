"""When waiting tasks will be done: the plan in force, played forward.

Durations vary, and a backlog ends with its last task. So the lanes of the plan are played forward
several times with durations drawn from what was learned, and a forecast is the range in which most
of the plays end. A play knows loads, drains, slots, retries and their back-off, but not the plans
that are still to be made: what is in no block yet is taken for a mix like that of the blocks.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist

MOST_DRAWS = 20_000
"""Bounds the work: a long backlog is played less often, for the errors of many tasks level out."""
MOST_PLAYS = 40
FEWEST_PLAYS = 9
LOW, MIDDLE, HIGH = 0.1, 0.5, 0.9
PLAN_ERROR = 0.1
"""What every duration of a model is off by together: servers speed up and slow down."""

Draw = Callable[[], float]
"""A number between 0 and 1 at each call."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds of a task of one kind at its place, and their standard deviation over the mean."""

    seconds: float
    variation: float = 0.5


@dataclass(frozen=True, slots=True)
class BlockAhead:
    """``tasks`` of a block that are not sent yet. ``load_seconds`` come before the first of them,
    0 where the model is in memory; ``drains`` says that the server ends what it runs before."""

    block_id: str
    backend: str
    tasks: int
    duration: Duration
    load_seconds: float = 0.0
    drains: bool = True


@dataclass(frozen=True, slots=True)
class InFlight:
    """A task that was sent; ``elapsed_seconds`` is None while it has not begun.
    ``load_seconds`` is what is left of the load that it waits for."""

    task_id: str
    backend: str
    duration: Duration
    elapsed_seconds: float | None = None
    load_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Retries:
    """The share of attempts that end in another one, the mean seconds before it may begin, and by
    how much the seconds grow from one to the next."""

    share: float = 0.0
    delay_seconds: float = 90.0
    growth: float = 2.0


@dataclass(frozen=True, slots=True)
class Ahead:
    """All that is still to be done.

    ``blocks`` are in lane order; ``slots`` are the limits by backend, ``total`` that of all
    together (None: none). ``unplanned`` tasks wait in no block; ``delayed`` holds the seconds after
    which those in back-off may begin, and ``usual`` is what they need where nothing else is left.
    """

    blocks: tuple[BlockAhead, ...] = ()
    in_flight: tuple[InFlight, ...] = ()
    slots: Mapping[str, int] = field(default_factory=dict)
    total: int | None = None
    unplanned: int = 0
    delayed: tuple[float, ...] = ()
    usual: Duration = Duration(10.0)
    retries: Retries = field(default_factory=Retries)


@dataclass(frozen=True, slots=True)
class SecondsRange:
    """Seconds from now: one time in ten it is before ``low``, one in ten after ``high``."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True)
class _Play:
    """One course of things: when each task of a block starts and ends, and when all is done."""

    starts: Mapping[str, Sequence[float]]
    finishes: Mapping[str, Sequence[float]]
    end: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """The plays of one moment.

    A place is a block id with a position among its tasks that are not sent yet, or the id of a task
    in flight with 0.
    """

    plays: tuple[_Play, ...]

    def end(self) -> SecondsRange | None:
        """When nothing is left; None where nothing runs and nothing is planned."""
        return _range([play.end for play in self.plays])

    def start_of(self, block_id: str, position: int) -> SecondsRange | None:
        """When that task starts; None where no block holds it."""
        return _range(
            [
                play.starts[block_id][position]
                for play in self.plays
                if position < len(play.starts.get(block_id, ()))
            ]
        )

    def holds(self, places: Iterable[tuple[str, int]]) -> bool:
        """Whether it knows every one of these (block id, position)."""
        known = self.plays[0].finishes if self.plays else {}
        return all(position < len(known.get(block_id, ())) for block_id, position in places)

    def finish_of(self, places: Iterable[tuple[str, int]]) -> SecondsRange | None:
        """When the last of the tasks at these (block id, position) is done."""
        wanted = list(places)
        ends = []
        for play in self.plays:
            found = [
                play.finishes[block_id][position]
                for block_id, position in wanted
                if position < len(play.finishes.get(block_id, ()))
            ]
            if found:
                ends.append(max(found))
        return _range(ends)


def forecast(ahead: Ahead, *, draw: Draw) -> Forecast:
    """Play ``ahead`` forward; ``draw`` is the source of chance."""
    whole = _with_unplanned(ahead)
    tasks = sum(block.tasks for block in whole.blocks) + len(whole.in_flight) + len(whole.delayed)
    if not tasks or not (whole.blocks or whole.in_flight or whole.slots):
        return Forecast(())
    plays = max(FEWEST_PLAYS, min(MOST_PLAYS, MOST_DRAWS // max(1, tasks)))
    return Forecast(tuple(_play(whole, draw) for _ in range(plays)))


def _with_unplanned(ahead: Ahead) -> Ahead:
    """Blocks that hold their part of what is in none yet."""
    planned = sum(block.tasks for block in ahead.blocks)
    if not planned or not ahead.unplanned:
        return ahead
    part = 1.0 + ahead.unplanned / planned
    grown = tuple(replace(block, tasks=round(block.tasks * part)) for block in ahead.blocks)
    return replace(ahead, blocks=grown)


def _play(ahead: Ahead, draw: Draw) -> _Play:
    starts: dict[str, list[float]] = {}
    finishes: dict[str, list[float]] = {}
    lanes = _lanes(ahead)
    for lane in lanes.values():
        finishes.update((task_id, [end]) for task_id, end in lane.begin(draw))
        for block in lane.blocks:
            times = lane.work(block, ahead.retries, draw)
            starts[block.block_id] = [start for start, _ in times]
            finishes[block.block_id] = [finish for _, finish in times]
    for lane in lanes.values():
        lane.work_late(ahead.retries, draw)
    _place_delayed(ahead, lanes, draw)
    return _Play(starts, finishes, max((lane.last for lane in lanes.values()), default=0.0))


@dataclass(slots=True)
class _Lane:
    """One server: the moments at which its slots become free."""

    slots: int
    blocks: list[BlockAhead] = field(default_factory=list)
    in_flight: list[InFlight] = field(default_factory=list)
    free: list[float] = field(default_factory=list)
    late: list[tuple[float, Duration]] = field(default_factory=list)
    last: float = 0.0
    error: float = 1.0

    def begin(self, draw: Draw) -> list[tuple[str, float]]:
        """(task id, finish) of what was sent: the running first, with what is left of each."""
        self.error = math.exp(PLAN_ERROR * _normal(draw))
        running = [one for one in self.in_flight if one.elapsed_seconds is not None]
        queued = [one for one in self.in_flight if one.elapsed_seconds is None]
        ends = [(one.task_id, one.load_seconds + self.error * _rest(one, draw)) for one in running]
        self.free = [0.0] * max(0, self.slots - len(running)) + [end for _, end in ends]
        self.last = max(self.free, default=0.0)
        heapq.heapify(self.free)
        while len(self.free) > self.slots:  # the limit was lowered while more were running
            heapq.heappop(self.free)
        loaded = max((one.load_seconds for one in queued), default=0.0)
        self.free = [max(moment, loaded) for moment in self.free]
        ends += [(one.task_id, self.place(one.duration, draw)[1]) for one in queued]
        return ends

    def work(self, block: BlockAhead, retries: Retries, draw: Draw) -> list[tuple[float, float]]:
        """(start, finish) of each of its tasks."""
        if block.load_seconds > 0:
            ready = (max if block.drains else min)(self.free) + block.load_seconds
            self.free = [max(moment, ready) for moment in self.free]
        times = []
        for _ in range(block.tasks):
            times.append(self.place(block.duration, draw))
            if retries.share > 0 and draw() < retries.share:
                self.late.append((times[-1][1] + retries.delay_seconds, block.duration))
        return times

    def work_late(self, retries: Retries, draw: Draw) -> None:
        """Second and third attempts, each after its back-off."""
        second = [(ready, number, duration) for number, (ready, duration) in enumerate(self.late)]
        heapq.heapify(second)
        count = len(second)
        while second:
            ready, number, duration = heapq.heappop(second)
            _, finish = self.place(duration, draw, ready=ready)
            if number < count and draw() < retries.share:
                delay_seconds = retries.growth * retries.delay_seconds
                again = (finish + delay_seconds, count + number, duration)
                heapq.heappush(second, again)

    def place(self, duration: Duration, draw: Draw, *, ready: float = 0.0) -> tuple[float, float]:
        """(start, finish) of one more task, not before ``ready``."""
        start = max(heapq.heappop(self.free), ready)
        finish = start + self.error * _drawn(duration, _normal(draw))
        heapq.heappush(self.free, finish)
        self.last = max(self.last, finish)
        return start, finish


def _lanes(ahead: Ahead) -> dict[str, _Lane]:
    busy = [one.backend for one in ahead.in_flight] + [one.backend for one in ahead.blocks]
    names = dict.fromkeys(busy or ahead.slots)
    slots = {name: max(1, ahead.slots.get(name, 1)) for name in names}
    wanted = sum(slots.values())
    if ahead.total is not None and wanted > ahead.total:
        part = max(ahead.total, 1) / wanted
        slots = {name: max(1, round(count * part)) for name, count in slots.items()}
    lanes = {name: _Lane(count, free=[0.0] * count) for name, count in slots.items()}
    for block in ahead.blocks:
        lanes[block.backend].blocks.append(block)
    for one in ahead.in_flight:
        lanes[one.backend].in_flight.append(one)
    return lanes


def _place_delayed(ahead: Ahead, lanes: Mapping[str, _Lane], draw: Draw) -> None:
    """Tasks in back-off go where a slot is free first; as many as of the others fail once more."""
    durations = [one.duration for one in ahead.blocks or ahead.in_flight] or [ahead.usual]
    usual = Duration(
        sum(duration.seconds for duration in durations) / len(durations),
        sum(duration.variation for duration in durations) / len(durations),
    )
    for ready in sorted(ahead.delayed):
        lane = min(lanes.values(), key=lambda one: max(one.free[0], ready))
        _, finish = lane.place(usual, draw, ready=ready)
        if ahead.retries.share > 0 and draw() < ahead.retries.share:
            again = finish + ahead.retries.growth * ahead.retries.delay_seconds
            lane.place(usual, draw, ready=again)


def _drawn(duration: Duration, normal: float) -> float:
    """Lognormal: answers are rarely much shorter than usual and sometimes much longer."""
    mean, spread = _logs(duration)
    return math.exp(mean + spread * normal)


def _rest(one: InFlight, draw: Draw) -> float:
    """What is left of a task that has run for so long already."""
    elapsed = max(0.0, (one.elapsed_seconds or 0.0))
    mean, spread = _logs(one.duration)
    if spread <= 0 or elapsed <= 0:
        return max(_drawn(one.duration, _normal(draw)) - elapsed, 0.0)
    passed = _NORMAL.cdf((math.log(elapsed) - mean) / spread)
    if passed > 0.999:  # far beyond all that was seen: as long again, for all that is known
        return elapsed * draw()
    normal = _NORMAL.inv_cdf(_inside(passed + (1.0 - passed) * draw()))
    return max(math.exp(mean + spread * normal) - elapsed, 0.0)


def _logs(duration: Duration) -> tuple[float, float]:
    """Mean and standard deviation of the logarithm."""
    square = math.log1p(duration.variation**2)
    return math.log(max(duration.seconds, 1e-6)) - square / 2.0, math.sqrt(square)


def _normal(draw: Draw) -> float:
    return _NORMAL.inv_cdf(_inside(draw()))


def _inside(share: float) -> float:
    return min(max(share, 1e-9), 1.0 - 1e-9)


def _range(values: Sequence[float]) -> SecondsRange | None:
    if not values:
        return None
    ordered = sorted(values)
    last = len(ordered) - 1
    low, middle, high = (ordered[round(share * last)] for share in (LOW, MIDDLE, HIGH))
    return SecondsRange(low, middle, high)
