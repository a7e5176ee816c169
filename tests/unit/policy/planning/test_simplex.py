from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.policy.plan_building.simplex import Use, spread


def test_a_group_is_split_so_that_two_equal_servers_end_together() -> None:
    answer = spread([0.0, 0.0], [Use(0, ((0, 10.0),)), Use(0, ((1, 10.0),))], penalty=0.0)

    assert answer.finish == pytest.approx(5.0)
    assert answer.shares == pytest.approx((0.5, 0.5))


def test_a_server_that_is_busy_gets_less() -> None:
    answer = spread([4.0, 0.0], [Use(0, ((0, 10.0),)), Use(0, ((1, 10.0),))], penalty=0.0)

    assert answer.finish == pytest.approx(7.0)
    assert answer.shares == pytest.approx((0.3, 0.7))


def test_groups_go_where_they_are_comparatively_fast() -> None:
    uses = [
        Use(0, ((0, 2.0),)),
        Use(0, ((1, 8.0),)),
        Use(1, ((0, 5.0),)),
        Use(1, ((1, 5.0),)),
    ]

    answer = spread([0.0, 0.0], uses, penalty=0.0)

    assert answer.finish == pytest.approx(3.5)
    assert answer.shares[0] == pytest.approx(1.0)


def test_a_shared_resource_bounds_what_two_servers_do_together() -> None:
    uses = [Use(0, ((0, 6.0), (2, 6.0))), Use(0, ((1, 6.0), (2, 6.0)))]

    answer = spread([0.0, 0.0, 0.0], uses, penalty=0.0)

    assert answer.finish == pytest.approx(6.0)


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[float], list[Use]]:
    servers = draw(st.integers(1, 4))
    base = draw(st.lists(st.floats(0, 50), min_size=servers, max_size=servers))
    uses = []
    for group in range(draw(st.integers(1, 6))):
        chosen = draw(st.sets(st.integers(0, servers - 1), min_size=1))
        uses += [Use(group, ((n, draw(st.floats(0.01, 100))),)) for n in sorted(chosen)]
    return base, uses


@given(problems())
def test_shares_are_whole_and_no_price_on_the_servers_proves_a_better_finish(
    problem: tuple[list[float], list[Use]],
) -> None:
    base, uses = problem

    answer = spread(base, uses, penalty=0.0)

    for group in {use.group for use in uses}:
        parts = [s for s, use in zip(answer.shares, uses, strict=True) if use.group == group]
        assert sum(parts) == pytest.approx(1.0, abs=1e-6)
        assert all(-1e-9 <= part <= 1 + 1e-9 for part in parts)
    assert answer.finish >= _bound_by_even_prices(base, uses) - 1e-6
    assert answer.finish <= _everything_at_its_cheapest(base, uses) + 1e-6


def _bound_by_even_prices(base: list[float], uses: list[Use]) -> float:
    cheapest: dict[int, float] = {}
    for use in uses:
        seconds = use.loads[0][1]
        cheapest[use.group] = min(cheapest.get(use.group, seconds), seconds)
    return max(max(base), (sum(base) + sum(cheapest.values())) / len(base))


def _everything_at_its_cheapest(base: list[float], uses: list[Use]) -> float:
    best: dict[int, tuple[float, int]] = {}
    for use in uses:
        server, seconds = use.loads[0]
        best[use.group] = min(best.get(use.group, (seconds, server)), (seconds, server))
    loads = list(base)
    for seconds, server in best.values():
        loads[server] += seconds
    return max(loads)
