"""A small linear program: spread groups of work over shared resources, the last to end soonest.

Minimise ``T + penalty * sum of all loads`` where every group is split over its options (shares sum
to 1) and no resource is loaded beyond ``T``. Dictionary form of the simplex method (Chvátal,
Linear Programming, 1983, ch. 2); starts from every group at its cheapest option, so there is no
first phase. Pure Python: sizes here are tens of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_EPSILON = 1e-9
_BLAND_AFTER = 60
_GIVE_UP_AFTER = 400


@dataclass(frozen=True, slots=True)
class Use:
    """One option of a group: seconds it would add to each resource if the whole group took it."""

    group: int
    loads: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """``shares[i]`` is the part (0..1) of its group that option ``i`` takes."""

    finish: float
    shares: tuple[float, ...]


def spread(base: Sequence[float], uses: Sequence[Use], *, penalty: float = 0.01) -> Spread:
    """Solve; every group 0..n-1 must own at least one option. ``base`` is each resource's load."""
    start = _cheapest(uses)
    table = _Dictionary(base, uses, start, penalty)
    table.solve()
    shares = table.shares(len(uses), start)
    return Spread(_finish(base, uses, shares), shares)


def _cheapest(uses: Sequence[Use]) -> dict[int, int]:
    best: dict[int, int] = {}
    for index, use in enumerate(uses):
        held = best.get(use.group)
        if held is None or sum(s for _, s in use.loads) < sum(s for _, s in uses[held].loads):
            best[use.group] = index
    return best


def _finish(base: Sequence[float], uses: Sequence[Use], shares: Sequence[float]) -> float:
    loads = list(base)
    for use, share in zip(uses, shares, strict=True):
        for resource, seconds in use.loads:
            loads[resource] += share * seconds
    return max(loads, default=0.0)


class _Dictionary:
    """Basic variables as ``constant + row . nonbasic``. Columns: the options not started with,
    then the slack of the busiest resource. Rows: one per group, one per other resource."""

    def __init__(
        self, base: Sequence[float], uses: Sequence[Use], start: dict[int, int], penalty: float
    ) -> None:
        self.columns = [i for i in range(len(uses)) if start[uses[i].group] != i] + [-1]
        self.basics = [start[group] for group in sorted(start)]
        self.constants = [1.0] * len(self.basics)
        width = len(self.columns)
        group_rows = {group: row for row, group in enumerate(sorted(start))}
        self.rows = [[0.0] * width for _ in self.basics]
        levels, slopes = list(base), [[0.0] * width for _ in base]
        for index in self.basics:
            for resource, seconds in uses[index].loads:
                levels[resource] += seconds
        for column, index in enumerate(self.columns[:-1]):
            self.rows[group_rows[uses[index].group]][column] = -1.0
            for resource, seconds in uses[index].loads:
                slopes[resource][column] += seconds
            for resource, seconds in uses[start[uses[index].group]].loads:
                slopes[resource][column] -= seconds
        self._add_resources(levels, slopes)
        self.objective = [
            self._top[c] + penalty * sum(slope[c] for slope in slopes) for c in range(width)
        ]

    def _add_resources(self, levels: list[float], slopes: list[list[float]]) -> None:
        busiest = max(range(len(levels)), key=levels.__getitem__)
        self._top = list(slopes[busiest])
        self._top[-1] = 1.0
        for resource, slope in enumerate(slopes):
            if resource != busiest:
                self.basics.append(-2 - resource)
                self.constants.append(levels[busiest] - levels[resource])
                self.rows.append([t - s for t, s in zip(self._top, slope, strict=True)])

    def solve(self) -> None:
        for step in range(_GIVE_UP_AFTER):
            column = self._entering(bland=step > _BLAND_AFTER)
            if column is None:
                return
            row = self._leaving(column)
            if row is None:
                return
            self._pivot(row, column)

    def _entering(self, *, bland: bool) -> int | None:
        best, found = -_EPSILON, None
        for column, cost in enumerate(self.objective):
            if cost < best:
                found = column
                if bland:
                    return found
                best = cost
        return found

    def _leaving(self, column: int) -> int | None:
        best, found = float("inf"), None
        for row, values in enumerate(self.rows):
            slope = values[column]
            if slope < -_EPSILON:
                bound = self.constants[row] / -slope
                if bound < best - 1e-12:
                    best, found = bound, row
        return found

    def _pivot(self, row: int, column: int) -> None:
        pivot_row = self.rows[row]
        scale = -1.0 / pivot_row[column]
        entering = [value * scale for value in pivot_row]
        entering[column] = -scale
        constant = self.constants[row] * scale
        self.basics[row], self.columns[column] = self.columns[column], self.basics[row]
        for other, values in enumerate(self.rows):
            factor = values[column]
            if other != row and factor:
                values[column] = 0.0
                self.rows[other] = [v + factor * e for v, e in zip(values, entering, strict=True)]
                self.constants[other] += factor * constant
        self.rows[row] = entering
        self.constants[row] = constant
        factor = self.objective[column]
        self.objective[column] = 0.0
        self.objective = [v + factor * e for v, e in zip(self.objective, entering, strict=True)]

    def shares(self, count: int, start: dict[int, int]) -> tuple[float, ...]:
        shares = [0.0] * count
        for basic, constant in zip(self.basics, self.constants, strict=True):
            if basic >= 0:
                shares[basic] = min(max(constant, 0.0), 1.0)
        return tuple(shares)
