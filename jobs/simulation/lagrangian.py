"""The same bounds in plain Python: prices on the servers' time, by weak duality always valid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from jobs.simulation.relaxation import Relaxation
from jobs.simulation.workload import Pair

_STEPS = 300
_FEW_PLACES = 10
"""Up to so many places every set of opened ones is tried; beyond, loads are left out."""


def least_finish(problem: Relaxation) -> float:
    """The best of a subgradient ascent over the prices; then the unavoidable loads."""
    names = [server.name for server in problem.servers]
    prices = dict.fromkeys(names, 1.0 / len(names))
    best, best_prices = 0.0, prices
    for step in range(_STEPS):
        value, loads = _at_prices(problem, prices, frozenset(problem.load_seconds))
        if value > best:
            best, best_prices = value, prices
        prices = _moved(prices, loads, 1.0 / (2.0 + step))
    return max(best, _with_loads(problem, best_prices))


def least_loads(problem: Relaxation) -> int:
    """The fewest cold places that serve every kind."""
    if len(problem.load_seconds) > 2 * _FEW_PLACES:
        return 1 if problem.cold else 0
    warm = frozenset(problem.load_seconds) - problem.cold
    for count in range(len(problem.cold) + 1):
        for chosen in itertools.combinations(sorted(problem.cold), count):
            if _serves(problem, warm | set(chosen)):
                return count
    return len(problem.cold)


def _serves(problem: Relaxation, opened: frozenset[Pair] | set[Pair]) -> bool:
    return all(any(pair in opened for pair in kind.seconds) for kind in problem.kinds)


def _at_prices(
    problem: Relaxation, prices: Mapping[str, float], opened: frozenset[Pair]
) -> tuple[float, dict[str, float]]:
    """Every kind at its cheapest place: the priced total, and the time it puts on each server."""
    slots = {server.name: server.slots for server in problem.servers}
    loads = dict.fromkeys(slots, 0.0)
    total = 0.0
    for server in problem.servers:
        total += prices[server.name] * server.lost_seconds
    for kind in problem.kinds:
        places = [pair for pair in kind.seconds if pair in opened]
        if not places:
            return math.inf, loads
        costs = {pair: kind.seconds[pair] / slots[pair[0]] for pair in places}
        pair = min(places, key=lambda pair: (prices[pair[0]] * costs[pair], pair))
        total += prices[pair[0]] * costs[pair]
        loads[pair[0]] += costs[pair]
    return total, loads


def _moved(
    prices: Mapping[str, float], loads: Mapping[str, float], step: float
) -> dict[str, float]:
    """Raise the prices of busy servers. Each is multiplied, then all are divided by their sum, so
    that they stay positive and sum to one."""
    most = max(loads.values()) or 1.0
    raised = {name: price * math.exp(step * loads[name] / most) for name, price in prices.items()}
    whole = sum(raised.values())
    return {name: price / whole for name, price in raised.items()}


def _with_loads(problem: Relaxation, prices: Mapping[str, float]) -> float:
    """The least over every set of opened places, each charged with its loads where serial."""
    if len(problem.load_seconds) > _FEW_PLACES:
        return 0.0
    serial = {server.name for server in problem.servers if server.loads_serially}
    pairs: Sequence[Pair] = sorted(problem.load_seconds)
    best = math.inf
    for bits in itertools.product((False, True), repeat=len(pairs)):
        opened = frozenset(pair for pair, bit in zip(pairs, bits, strict=True) if bit)
        charge = sum(
            prices[pair[0]] * problem.load_seconds[pair] for pair in opened if pair[0] in serial
        )
        best = min(best, charge + _at_prices(problem, prices, opened)[0])
    return 0.0 if math.isinf(best) else best
