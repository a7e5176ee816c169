"""Callers take turns."""

from __future__ import annotations

from gateway.fair_queue import FairQueue


def served(queue: FairQueue[str]) -> list[str]:
    order = []
    while upcoming := queue.upcoming(1):
        [(caller, item)] = upcoming
        order.append(item)
        assert queue.take(caller, item)
    return order


def test_a_caller_with_one_request_waits_one_turn_behind_a_caller_with_many() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(64):
        queue.put("busy", f"busy{number}")
    queue.put("seldom", "one")

    assert served(queue)[:3] == ["busy0", "one", "busy1"]


def test_a_position_is_how_many_are_served_before() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a0", "a1", "a2"):
        queue.put("a", item)
    for item in ("b0", "b1"):
        queue.put("b", item)
    queue.put("c", "c0")
    positions = {
        item: queue.position(item[0], item) for item in ("a0", "a1", "a2", "b0", "b1", "c0")
    }

    upcoming = [item for _, item in queue.upcoming(10)]
    order = served(queue)

    assert upcoming == order
    assert [positions[item] for item in order] == list(range(6))


def test_who_gives_up_leaves_the_line_and_the_rest_keep_their_order() -> None:
    queue: FairQueue[str] = FairQueue()
    for caller, item in (("a", "a0"), ("b", "b0"), ("a", "a1")):
        queue.put(caller, item)
    queue.remove("a", "a0")
    queue.remove("a", "never there")
    assert not queue.take("a", "a0")

    assert len(queue) == 2
    assert served(queue) == ["a1", "b0"]
