"""Which models to open on which servers, and which part of each group goes where.

Opening a model costs its load and a drain, whatever runs on it: a fixed charge. For a given set
of open keys the split is a linear program; the set itself is found by scaling the fixed charges
into the slopes, then dropping, adding and swapping keys while that pays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from jobs.policy.plan_building.choices import Option
from jobs.policy.plan_building.groups import TaskGroup
from jobs.policy.plan_building.memory import effective_slots, models_in_memory
from jobs.policy.plan_building.simplex import Spread, Use, spread
from jobs.policy.types import BackendView, BlockKey

LOAD_WEIGHT = 0.004
"""A further load is opened only if the finish gains more than the sum of three prices. The first is
this share of the finish."""
LOAD_PRICE = 0.5
"""The second price: this many times the seconds of the load."""
NOISE_WEIGHT = 2.5
"""The third price: this many standard deviations of the finish. A gain within the noise is no
reason to load; the next plan sees what really happened."""
OVERLAPPED_LOAD = 0.1
"""What a load costs a server that holds several models and serves on meanwhile."""
_MARGIN = 1e-6
_WORK_BUDGET = 30_000
"""Bound on option evaluations in one search; keeps a plan in its milliseconds."""


@dataclass(frozen=True, slots=True)
class OpenServer:
    """A server as the balance sees it. ``base_seconds``: when its running work is done."""

    view: BackendView
    slots: int
    base_seconds: float


@dataclass(frozen=True, slots=True)
class Balance:
    """``shares[g][key]`` is the part of group ``g`` that goes to ``key``."""

    shares: tuple[Mapping[BlockKey, float], ...]
    finish_seconds: float
    loads: int


def drain_seconds(mean_seconds: float, slots: int) -> float:
    """Expected loss at the end of a block: slots stand idle until the last task is through.

    When the queue of a block runs dry, ``s`` tasks are still running. If what each has left were
    exponential with mean m, the last would end m * (H(s) - 1) after the average one, where H is the
    harmonic number. Half the mean service time is taken for m.
    """
    return 0.5 * mean_seconds * (_harmonic(min(slots, 64)) - 1.0)


@cache
def _harmonic(count: int) -> float:
    return sum(1.0 / k for k in range(1, count + 1))


def balance(
    groups: Sequence[TaskGroup],
    lanes: Mapping[str, OpenServer],
    *,
    warm: frozenset[BlockKey],
    one_heavy: bool,
) -> Balance:
    """Split the groups; keys in ``warm`` need no load. ``one_heavy``: heavy work is serial."""
    problem = _Problem(groups, lanes, warm, one_heavy=one_heavy)
    found = _search(problem)
    shares: list[dict[BlockKey, float]] = [{} for _ in groups]
    for use, option, share in zip(problem.uses, problem.options, found.spread.shares, strict=True):
        if share > _MARGIN:
            shares[use.group][option.key] = shares[use.group].get(option.key, 0.0) + share
    return Balance(tuple(shares), found.spread.finish, found.loads)


@dataclass(frozen=True, slots=True)
class _Candidate:
    spread: Spread
    used: frozenset[BlockKey]
    loads: int
    value: float


class _Problem:
    def __init__(
        self,
        groups: Sequence[TaskGroup],
        lanes: Mapping[str, OpenServer],
        warm: frozenset[BlockKey],
        *,
        one_heavy: bool,
    ) -> None:
        self.warm = warm
        self.index = {name: number for number, name in enumerate(lanes)}
        self.lanes = lanes
        self.base = [lane.base_seconds for lane in lanes.values()]
        self.heavy_row = len(self.base) if one_heavy and len(lanes) > 1 else None
        if self.heavy_row is not None:
            self.base.append(0.0)
        self.options: list[Option] = []
        self.uses: list[Use] = []
        for number, group in enumerate(groups):
            for option in group.choices.options:
                self.options.append(option)
                self.uses.append(Use(number, self._loads(option, group.count)))
        self.keys = sorted({option.key for option in self.options})
        places = {key: place for place, key in enumerate(self.keys)}
        self.key_of = [places[option.key] for option in self.options]
        self.charges = self._charges()
        self._add_first_loads()
        self.counts = [group.count for group in groups]
        self.prices = self._prices(groups)
        self.cost = len(self.uses) * (len(groups) + len(self.base))

    def _loads(self, option: Option, count: int) -> tuple[tuple[int, float], ...]:
        seconds = option.seconds * count / self._slots(option)
        return self._on_rows(option, seconds * option.weight)

    def _slots(self, option: Option) -> int:
        return effective_slots(self.lanes[option.key.backend].view, heavy=option.heavy)

    def _on_rows(self, option: Option, seconds: float) -> tuple[tuple[int, float], ...]:
        row = self.index[option.key.backend]
        if option.heavy and self.heavy_row is not None:
            return (row, seconds), (self.heavy_row, seconds)
        return ((row, seconds),)

    def _charges(self) -> dict[BlockKey, tuple[tuple[int, float], ...]]:
        charges: dict[BlockKey, tuple[tuple[int, float], ...]] = {}
        for option in self.options:
            if option.key not in charges:
                charges[option.key] = self._on_rows(option, self._opening(option))
        return charges

    def _opening(self, option: Option) -> float:
        lane = self.lanes[option.key.backend]
        overlapped = lane.view.max_resident > 1
        return self._load(option) + (
            0.0 if overlapped else drain_seconds(option.seconds, lane.slots)
        )

    def _load(self, option: Option) -> float:
        """Seconds of serving that a load costs; little where the server goes on meanwhile."""
        if option.key in self.warm:
            return 0.0
        several = self.lanes[option.key.backend].view.max_resident > 1
        return option.load_seconds * (OVERLAPPED_LOAD if several else 1.0)

    def _add_first_loads(self) -> None:
        """A server that holds several models but none yet serves nothing during its first load."""
        for name, row in self.index.items():
            view = self.lanes[name].view
            loads = [o.load_seconds for o in self.options if o.key.backend == name]
            if view.max_resident > 1 and loads and not models_in_memory(view):
                self.base[row] += min(loads)

    def _prices(self, groups: Sequence[TaskGroup]) -> dict[BlockKey, float]:
        """What opening a key must gain, beside its part of the finish."""
        slots = sum(lane.slots for lane in self.lanes.values())
        square = sum(
            g.count * min(o.seconds * o.variation for o in g.choices.options) ** 2 for g in groups
        )
        noise = math.sqrt(square) / slots
        return {
            option.key: LOAD_PRICE * option.load_seconds + NOISE_WEIGHT * noise
            for option in self.options
        }

    def solve(self, open_keys: frozenset[BlockKey]) -> _Candidate | None:
        """The best split over these keys, then again without the keys it left empty."""
        chosen = [i for i, option in enumerate(self.options) if option.key in open_keys]
        if len({self.uses[i].group for i in chosen}) < self.uses[-1].group + 1:
            return None
        part = spread(self._base_with(open_keys), [self.uses[i] for i in chosen])
        used = frozenset(
            self.options[i].key
            for i, share in zip(chosen, part.shares, strict=True)
            if share > _MARGIN
        )
        if used != open_keys:
            return self.solve(used)
        shares = [0.0] * len(self.options)
        for i, share in zip(chosen, part.shares, strict=True):
            shares[i] = share
        whole = Spread(part.finish, tuple(shares))
        cold = used - self.warm
        price = sum(self.prices[key] for key in cold)
        value = self._whole_finish(shares) * (1.0 + LOAD_WEIGHT * len(cold)) + price
        return _Candidate(whole, used, len(cold), value)

    def _whole_finish(self, shares: Sequence[float]) -> float:
        """The finish when tasks are whole: what fits the slots takes as long as one task."""
        seconds = [0.0] * len(self.keys)
        count = [0.0] * len(self.keys)
        longest: dict[int, Option] = {}
        for use, option, key, share in zip(
            self.uses, self.options, self.key_of, shares, strict=True
        ):
            if share > _MARGIN:
                seconds[key] += share * use.loads[0][1]
                count[key] += share * self.counts[use.group]
                if key not in longest or option.seconds > longest[key].seconds:
                    longest[key] = option
        ends = list(self.base)
        for key, option in longest.items():
            taken = option.seconds * option.weight
            if count[key] > self._slots(option) + _MARGIN:
                drain = drain_seconds(option.seconds, self._slots(option))
                taken = max(taken, seconds[key] + drain)
            for row, _ in self.charges[option.key]:
                ends[row] += self._load(option) + taken
        return max(ends)

    def _base_with(self, open_keys: frozenset[BlockKey]) -> list[float]:
        base = list(self.base)
        for key in open_keys:
            for row, seconds in self.charges[key]:
                base[row] += seconds
        return base

    def relaxed(self, scale: Mapping[BlockKey, float]) -> Spread:
        """All keys open; the charge of a key is spread over the work that it has."""
        uses = [
            Use(use.group, tuple((row, s * scale.get(option.key, 1.0)) for row, s in use.loads))
            for use, option in zip(self.uses, self.options, strict=True)
        ]
        return spread(self.base, uses)


def _search(problem: _Problem) -> _Candidate:
    best = _start(problem)
    budget = max(6, _WORK_BUDGET // max(problem.cost, 1))
    improved = True
    while improved and budget > 0:
        improved = False
        for candidate in _neighbours(problem, best.used):
            budget -= 1
            found = problem.solve(candidate)
            if found is not None and found.value < best.value * (1.0 - _MARGIN):
                best, improved = found, True
                break
            if budget <= 0:
                break
    return best


def _start(problem: _Problem) -> _Candidate:
    """Slope scaling: price each key's charge by the work the last solution gave it."""
    everything = problem.solve(frozenset(problem.keys))
    assert everything is not None
    best = everything
    scale: dict[BlockKey, float] = {}
    for _ in range(3):
        part = problem.relaxed(scale)
        work = dict.fromkeys(problem.keys, 0.0)
        for use, option, share in zip(problem.uses, problem.options, part.shares, strict=True):
            work[option.key] += share * use.loads[0][1]
        used = frozenset(key for key, seconds in work.items() if seconds > _MARGIN)
        found = problem.solve(used)
        if found is not None and found.value < best.value:
            best = found
        for key in used:
            scale[key] = 1.0 + problem.charges[key][0][1] / work[key]
    return best


def _neighbours(problem: _Problem, used: frozenset[BlockKey]) -> list[frozenset[BlockKey]]:
    ordered = sorted(used)
    closed = [key for key in problem.keys if key not in used]
    drops = [used - {key} for key in ordered if key not in problem.warm]
    adds = [used | {key} for key in closed]
    swaps = [(used - {out}) | {into} for out in ordered for into in closed]
    return drops + adds + swaps
