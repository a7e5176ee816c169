"""In which order the tasks of a block start."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from datetime import timedelta
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from jobs.policy.task_order import OVERDUE_PART, SLICE_PART, rank_tasks
from jobs.policy.types import PlanningConfig, TaskView
from models.states import Priority
from tests.support.plan_builders import NOW, task

CONFIG = PlanningConfig()
DUE = NOW - timedelta(seconds=OVERDUE_PART * CONFIG.fairness_seconds)
PREFIXES = [("ada",), ("ada", "a.py"), ("ada", "a.py", "b.py"), ("bob",), ("bob", "a.py"), ()]


def order(*waiting: TaskView) -> list[str]:
    return [one.id for one in rank_tasks(waiting, now=NOW, config=CONFIG)]


def test_tasks_with_the_same_beginning_of_their_prompts_follow_each_other() -> None:
    assert order(
        task(1, age_seconds=9, prefix=("ada", "a.py")),
        task(2, age_seconds=8, prefix=("bob",)),
        task(3, age_seconds=7, prefix=("ada",)),
        task(4, age_seconds=6, prefix=("ada", "a.py")),
        task(5, age_seconds=5, prefix=("bob",)),
    ) == ["2", "5", "3", "1", "4"]


def test_a_later_plan_goes_on_with_the_beginning_that_runs() -> None:
    """Each plan ranks anew what is left; a server must not change its prompt for that."""
    waiting = [
        task(number, age_seconds=60 - number, prefix=(persona, file))
        for number, (persona, file) in enumerate(
            itertools.product(("ada", "bob", "eve"), ("a.py", "b.py") * 4)
        )
    ]
    random.Random(1).shuffle(waiting)
    started: list[TaskView] = []
    while waiting:
        started.append(rank_tasks(waiting, now=NOW, config=CONFIG)[0])
        waiting.remove(started[-1])

    assert len([prefix for prefix, _ in groupby(started, key=lambda one: one.prefix)]) == 6
    assert len([persona for persona, _ in groupby(one.prefix[0] for one in started)]) == 3


def test_grouping_passes_no_priority_and_no_overdue_task() -> None:
    assert order(
        task("medium", prefix=("ada",)),
        task("high", priority=Priority.HIGH, prefix=("bob",)),
        task("low", priority=Priority.LOW, prefix=("bob",)),
        task("overdue", priority=Priority.LOW, age_seconds=800, prefix=("ada",)),
        task("urgent", priority=Priority.URGENT, prefix=("bob",)),
    ) == ["urgent", "overdue", "high", "medium", "low"]


def test_an_old_backlog_is_still_grouped_and_passes_no_priority() -> None:
    """Tasks that came together become overdue together."""
    late = DUE - timedelta(seconds=50)
    waiting = [
        replace(task(n, prefix=(persona,), priority=priority), created_at=late)
        for n, (persona, priority) in enumerate(
            itertools.product(("ada", "bob"), (Priority.MEDIUM, Priority.HIGH) * 2)
        )
    ]

    ranked = rank_tasks(waiting, now=NOW, config=CONFIG)

    assert [one.priority for one in ranked] == [Priority.HIGH] * 4 + [Priority.MEDIUM] * 4
    assert len([prefix for prefix, _ in groupby(ranked, key=lambda one: one.prefix)]) == 4


@given(st.lists(st.tuples(st.integers(720, 9000), st.sampled_from(PREFIXES)), max_size=40))
def test_an_overdue_task_is_overtaken_by_no_more_than_a_slice(
    drawn: list[tuple[int, tuple[str, ...]]],
) -> None:
    waiting = [task(n, age_seconds=age, prefix=prefix) for n, (age, prefix) in enumerate(drawn)]

    ranked = rank_tasks(waiting, now=NOW, config=CONFIG)

    ages = [(NOW - one.created_at).total_seconds() for one in ranked]
    later = [max(ages[at:]) for at in range(len(ages))]
    margin = SLICE_PART * CONFIG.fairness_seconds
    assert all(oldest - age < margin for age, oldest in zip(ages, later, strict=True))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(Priority)),
            st.integers(0, 1500),
            st.sampled_from(PREFIXES),
        ),
        max_size=40,
    )
)
def test_every_prefix_is_one_run_and_priorities_are_never_inverted(
    drawn: list[tuple[Priority, int, tuple[str, ...]]],
) -> None:
    waiting = [
        task(number, priority=priority, age_seconds=age, prefix=prefix)
        for number, (priority, age, prefix) in enumerate(drawn)
    ]

    ranked = rank_tasks(waiting, now=NOW, config=CONFIG)

    assert sorted(one.id for one in ranked) == sorted(one.id for one in waiting)
    fresh = [one for one in ranked if one.priority is not Priority.URGENT and one.created_at > DUE]
    assert [one.priority.rank for one in fresh] == sorted(
        (one.priority.rank for one in fresh), reverse=True
    )
    for _, run in groupby(fresh, key=lambda one: one.priority):
        runs = [prefix for prefix, _ in groupby(run, key=lambda one: one.prefix)]
        assert len(runs) == len(set(runs))
        experts = [expert for expert, _ in groupby(runs, key=lambda prefix: prefix[:1])]
        assert len(experts) == len(set(experts))
