"""Cycles among tasks that wait for each other."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from models.cycles import describe, find_cycles

TASKS = st.integers(0, 7).map(str)
EDGES = st.sets(st.tuples(TASKS, TASKS), max_size=24)


def test_a_chain_a_fan_and_a_diamond_hold_no_cycle() -> None:
    chain = [(str(n), str(n + 1)) for n in range(50_000)]
    fan = [(f"child {n}", "parent") for n in range(50)]
    diamond = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]

    assert find_cycles([*chain, *fan, *diamond]) == []


def test_a_cycle_is_found_in_its_order_among_innocent_ones() -> None:
    edges = [("a", "b"), ("b", "c"), ("c", "a"), ("behind", "a"), ("b", "free"), ("x", "y")]

    (cycle,) = find_cycles(edges)

    assert sorted(cycle) == ["a", "b", "c"]
    assert set(pairwise([*cycle, cycle[0]])) == {("a", "b"), ("b", "c"), ("c", "a")}


def test_a_task_may_be_a_cycle_by_itself() -> None:
    assert find_cycles([("a", "a"), ("a", "b")]) == [("a",)]
    assert "depends on itself" in describe(("a",))


def test_a_long_cycle_is_described_in_a_few_words() -> None:
    message = describe(tuple(f"task {n}" for n in range(5000)))

    assert "waits for task 1" in message
    assert "4996 more in between" in message
    assert len(message) < 300


@given(EDGES)
def test_what_is_found_are_cycles_that_share_no_task(edges: set[tuple[str, str]]) -> None:
    found = find_cycles(edges)

    members = [task for cycle in found for task in cycle]
    assert len(members) == len(set(members))
    for cycle in found:
        assert set(pairwise([*cycle, cycle[0]])) <= edges


@given(EDGES)
def test_taking_out_what_is_found_ends_all_waiting(edges: set[tuple[str, str]]) -> None:
    left = edges
    for _ in range(len(edges) + 1):
        gone = {task for cycle in find_cycles(left) for task in cycle}
        left = {(task, parent) for task, parent in left if not {task, parent} & gone}

    while left:
        waiting = {task for task, _ in left}
        ready = {parent for _, parent in left} - waiting
        assert ready, left
        left = {(task, parent) for task, parent in left if parent not in ready}
