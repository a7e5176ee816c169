"""What a server need not read again of a prompt."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

from jobs.policy.task_order import rank_tasks
from jobs.policy.types import PlanningConfig, TaskView
from llm.simulator.prefix_cache import (
    BLOCK_CHARS,
    Segment,
    SharedCache,
    SlotCaches,
    least_computed,
    segments_of,
)
from models.states import Priority

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PERSONA, FILE = ("persona", 600), ("file", 900)


def prompt(name: str) -> tuple[tuple[str, int], ...]:
    return (PERSONA, FILE, (name, 80))


def test_a_slot_keeps_its_last_prompt_and_the_most_alike_free_slot_is_taken() -> None:
    caches = SlotCaches(2)
    first, cached = caches.take(prompt("a"))
    other, _ = caches.take((("another", 500),))
    assert (cached, first != other) == (0, True)
    caches.give_back(other)
    caches.give_back(first)

    assert caches.take(prompt("b")) == (first, 1500)
    assert caches.take((("another", 500), ("more", 10))) == (other, 500)


def test_a_shared_store_serves_all_streams_until_it_is_full() -> None:
    cache = SharedCache(tokens=1600)
    cache.take(prompt("a"))
    assert cache.take(prompt("b")) == (0, 1500)

    cache.take((("another", 1500),))

    assert cache.take(prompt("c"))[1] == 0


def test_the_last_block_of_a_text_is_its_own() -> None:
    shared = "x" * BLOCK_CHARS
    assert segments_of(shared + "tail") == segments_of(shared + "other")
    assert segments_of("short") == ()


def test_the_best_order_reads_every_beginning_once() -> None:
    assert least_computed([prompt("a"), prompt("b")]) == 600 + 900 + 80 + 80


def test_the_planner_s_order_saves_reading_and_inverts_no_priority() -> None:
    chance = random.Random(5)
    tasks = [
        TaskView(
            id=f"t{number}",
            created_at=NOW,
            priority=chance.choice((Priority.MEDIUM, Priority.HIGH)),
            prefix=(f"expert {chance.randrange(12)}", f"file {chance.randrange(3)}"),
        )
        for number in range(400)
    ]

    ordered = rank_tasks(tasks, now=NOW, config=PlanningConfig())

    possible = _whole(tasks) - least_computed([_segments(task) for task in tasks])
    by_priority = sorted(tasks, key=lambda task: -task.priority.rank)
    assert _hits(by_priority) < 0.2 * possible
    assert _hits(ordered) >= 0.9 * possible
    assert all(a.priority.rank >= b.priority.rank for a, b in pairwise(ordered))


def _segments(task: TaskView) -> tuple[Segment, ...]:
    expert, file = task.prefix
    return (expert, 600), (file, 900), (task.id, 80)


def _hits(tasks: Sequence[TaskView]) -> int:
    """Tokens that one slot finds in its cache."""
    caches, cached = SlotCaches(1), 0
    for task in tasks:
        slot, found = caches.take(_segments(task))
        caches.give_back(slot)
        cached += found
    return cached


def _whole(tasks: Sequence[TaskView]) -> int:
    return sum(tokens for task in tasks for _, tokens in _segments(task))
