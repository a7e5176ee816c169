"""The relaxation as a mixed-integer program for scipy's HiGHS (the ``bench`` extra).

Variables: the part of each kind at each place (0..1), whether a place is opened (0 or 1), whether
a server is used at all (0..1), and the finish. Whatever HiGHS proves by its time limit is valid.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jobs.simulation.relaxation import TOLERANCE, Relaxation, ServerCapacity
from jobs.simulation.workload import Pair

TIME_LIMIT_SECONDS = 20.0
_TIGHT_LINKS = 4000
"""Up to so many kinds x places each is linked to its place alone, which solves faster."""


def least_finish(problem: Relaxation) -> float:
    """Seconds that every schedule needs."""
    program = _Program(problem)
    program.add_capacity(finish=None)
    bound = program.minimise({program.finish: 1.0})
    return max(0.0, bound * (1.0 - 2 * TOLERANCE))


def least_loads(problem: Relaxation, finish: float) -> int:
    """Loads of any schedule that ends by ``finish``."""
    program = _Program(problem)
    program.add_capacity(finish=finish)
    bound = program.minimise({program.opened[pair]: 1.0 for pair in problem.cold})
    return max(0, math.ceil(bound - 1e-6))


class _Program:
    def __init__(self, problem: Relaxation) -> None:
        self.problem = problem
        self.pairs = sorted(problem.load_seconds)
        self.finish = 0
        self.opened = {pair: 1 + n for n, pair in enumerate(self.pairs)}
        self.used = {s.name: 1 + len(self.pairs) + n for n, s in enumerate(problem.servers)}
        self.size = 1 + len(self.pairs) + len(problem.servers)
        self.parts: list[dict[Pair, int]] = []
        self.rows: list[tuple[dict[int, float], float, float]] = []
        self._add_parts()
        self._add_links()

    def _add_parts(self) -> None:
        for kind in self.problem.kinds:
            place = {pair: self.size + n for n, pair in enumerate(sorted(kind.seconds))}
            self.size += len(place)
            self.parts.append(place)
            self.rows.append((dict.fromkeys(place.values(), 1.0), 1.0, 1.0))

    def _add_links(self) -> None:
        """What runs at a place opens it; an opened place uses its server."""
        by_pair: dict[Pair, list[int]] = {}
        for place in self.parts:
            for pair, variable in place.items():
                by_pair.setdefault(pair, []).append(variable)
        tight = sum(map(len, by_pair.values())) <= _TIGHT_LINKS
        for pair, variables in by_pair.items():
            groups = [[variable] for variable in variables] if tight else [variables]
            for group in groups:
                row = dict.fromkeys(group, 1.0)
                row[self.opened[pair]] = -float(len(group))
                self.rows.append((row, -math.inf, 0.0))
        for pair in self.pairs:
            self.rows.append(({self.opened[pair]: 1.0, self.used[pair[0]]: -1.0}, -math.inf, 0.0))

    def add_capacity(self, *, finish: float | None) -> None:
        """Every server's time holds its work and its loads, up to the finish (or a given one)."""
        for server in self.problem.servers:
            for row in self._times(server):
                if finish is None:
                    limited = {**row, self.finish: -1.0}
                    self.rows.append((limited, -math.inf, -server.lost_seconds))
                else:
                    self.rows.append((row, -math.inf, finish - server.lost_seconds))
                if math.isfinite(server.until_seconds):
                    limit = server.until_seconds - server.lost_seconds
                    self.rows.append((row, -math.inf, limit))

    def _times(self, server: ServerCapacity) -> list[dict[int, float]]:
        """One resident: loads and work share the time. More: what cannot overlap still counts."""
        work: dict[Pair, dict[int, float]] = {}
        for kind, place in zip(self.problem.kinds, self.parts, strict=True):
            for pair, variable in place.items():
                if pair[0] == server.name:
                    work.setdefault(pair, {})[variable] = kind.seconds[pair] / server.slots
        whole = {v: seconds for row in work.values() for v, seconds in row.items()}
        loads = {pair: self.problem.load_seconds[pair] for pair in work}
        if server.loads_serially:
            return [{**whole, **{self.opened[pair]: load for pair, load in loads.items()}}]
        first = min(loads.values(), default=0.0)
        rows = [{**work[pair], self.opened[pair]: loads[pair]} for pair in work]
        return [{**whole, self.used[server.name]: first}, *rows]

    def minimise(self, costs: dict[int, float]) -> float:
        optimize: Any = importlib.import_module("scipy.optimize")
        sparse: Any = importlib.import_module("scipy.sparse")
        numpy: Any = importlib.import_module("numpy")
        cost = numpy.zeros(self.size)
        for variable, value in costs.items():
            cost[variable] = value
        upper = numpy.ones(self.size)
        upper[self.finish] = numpy.inf
        integral = numpy.zeros(self.size)
        for variable in self.opened.values():
            integral[variable] = 1
        entries = [
            (number, variable, value)
            for number, (row, _, _) in enumerate(self.rows)
            for variable, value in row.items()
        ]
        rows, columns, values = zip(*entries, strict=True)
        matrix = sparse.csr_matrix((values, (rows, columns)), shape=(len(self.rows), self.size))
        limits = optimize.LinearConstraint(
            matrix, [low for _, low, _ in self.rows], [high for _, _, high in self.rows]
        )
        with _stdout_kept_clean():
            answer = optimize.milp(
                cost,
                integrality=integral,
                bounds=optimize.Bounds(numpy.zeros(self.size), upper),
                constraints=limits,
                options={"time_limit": TIME_LIMIT_SECONDS, "mip_rel_gap": 1e-5},
            )
        proven = getattr(answer, "mip_dual_bound", None)
        return 0.0 if proven is None or not math.isfinite(proven) else float(proven)


@contextmanager
def _stdout_kept_clean() -> Iterator[None]:
    """HiGHS writes notes to the process's stdout whatever its options say; send them to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
