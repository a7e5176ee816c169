from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import redis

from jobs.admission.slots import Slots
from tests.integration.admission.conftest import LEASE_SECONDS, PLACE_SECONDS, Process
from tests.support.embedded import Server

PATIENCE_SECONDS = 10.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def test_slots_are_granted_up_to_the_limit_and_denied_with_a_reason(process: Process) -> None:
    slots = process("a")

    first = slots.acquire("ollama", "t1:1", limit=2)
    second = slots.acquire("ollama", "t2:1", limit=2)
    third = slots.acquire("ollama", "t3:1", limit=2)

    assert (first.granted, second.granted, third.granted) == (True, True, False)
    assert (first.in_use, second.in_use, third.in_use) == (1, 2, 2)
    assert second.grant_number > first.grant_number > 0 == third.grant_number
    assert third.reason == "all 2 slots are in use"
    assert third.retry_in_seconds is not None


def test_backends_do_not_share_their_slots(process: Process) -> None:
    slots = process("a")
    slots.acquire("ollama", "t1:1", limit=1)

    assert slots.acquire("mlx", "t2:1", limit=1).granted


def test_release_tells_how_many_are_free_and_wakes_the_waiter(
    process: Process, client: redis.Redis
) -> None:
    slots = process("a")
    slots.acquire("ollama", "t1:1", limit=2)
    slots.acquire("ollama", "t2:1", limit=2)
    with client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(slots.freed_channel)
        channel.get_message(timeout=1.0)

        free = slots.release("ollama", "t1:1")

        message = channel.get_message(timeout=PATIENCE_SECONDS)
    assert free == 1
    assert message is not None
    assert message["data"] == b"ollama"


def test_releasing_what_is_not_held_changes_nothing(process: Process) -> None:
    slots = process("a")
    slots.acquire("ollama", "t1:1", limit=2)

    assert slots.release("ollama", "other:1") == 1
    assert slots.in_use("ollama") == 1


def test_asking_twice_for_one_slot_takes_one_slot(process: Process) -> None:
    slots = process("a")

    slots.acquire("ollama", "t1:1", limit=2)
    again = slots.acquire("ollama", "t1:1", limit=2)

    assert again.granted
    assert again.in_use == 1
    assert again.reason == "already held by this process"


def test_a_message_delivered_twice_cannot_free_the_slot_of_its_twin(process: Process) -> None:
    original, twin = process("a"), process("b")
    original.acquire("ollama", "t1:1", limit=2)
    twin.acquire("ollama", "t1:1", limit=2)

    twin.release("ollama", "t1:1")

    assert [lease.owner for lease in original.holders("ollama")] == ["a"]


def test_heavy_models_have_a_limit_of_their_own(process: Process) -> None:
    slots = process("a")
    slots.acquire("ollama", "t1:1", limit=4, heavy=True, heavy_limit=1)

    heavy = slots.acquire("ollama", "t2:1", limit=4, heavy=True, heavy_limit=1)
    light = slots.acquire("ollama", "t3:1", limit=4, heavy_limit=1)

    assert not heavy.granted
    assert heavy.reason == "all 1 slots for heavy models are in use"
    assert heavy.heavy_in_use == 1
    assert light.granted
    assert [lease.heavy for lease in slots.holders("ollama")] == [True, False]


def test_a_bound_over_all_backends_is_kept(process: Process) -> None:
    slots = process("a")
    slots.acquire("ollama", "t1:1", limit=4, total_limit=2)
    slots.acquire("mlx", "t2:1", limit=4, total_limit=2)

    third = slots.acquire("mlx", "t3:1", limit=4, total_limit=2)

    assert not third.granted
    assert third.reason == "all 2 slots over all backends are in use"


@pytest.mark.parametrize("limit", [0, -1])
def test_a_closed_backend_grants_nothing(process: Process, limit: int) -> None:
    assert not process("a").acquire("ollama", "t1:1", limit=limit).granted


def test_a_lowered_limit_grants_nothing_until_enough_is_given_back(process: Process) -> None:
    slots = process("a")
    for number in range(4):
        slots.acquire("ollama", f"t{number}:1", limit=4)

    assert slots.release("ollama", "t0:1") == 1
    assert not slots.acquire("ollama", "t9:1", limit=2).granted
    slots.release("ollama", "t1:1")
    slots.release("ollama", "t2:1")
    assert slots.acquire("ollama", "t9:1", limit=2).granted


def test_a_slot_that_nobody_renews_frees_itself(process: Process) -> None:
    process("dead").acquire("ollama", "t1:1", limit=1)
    slots = process("a")

    until(lambda: slots.acquire("ollama", "t2:1", limit=1).granted)

    assert [lease.holder for lease in slots.holders("ollama")] == ["t2:1"]


def test_a_renewed_slot_outlives_its_lease(process: Process) -> None:
    slots, other = process("a"), process("b")
    slots.acquire("ollama", "t1:1", limit=1)
    end = time.monotonic() + 2 * LEASE_SECONDS

    while time.monotonic() < end:
        assert slots.renew({"ollama": ["t1:1"]}) == ()
        assert not other.acquire("ollama", "t2:1", limit=1).granted
        time.sleep(0.02)


def test_who_was_denied_longest_goes_first(process: Process) -> None:
    holder, early, late = process("a"), process("b"), process("c")
    holder.acquire("ollama", "t1:1", limit=1)
    early.acquire("ollama", "early:1", limit=1)
    late.acquire("ollama", "late:1", limit=1)
    holder.release("ollama", "t1:1")

    newcomer = holder.acquire("ollama", "new:1", limit=1)
    overtaking = late.acquire("ollama", "late:1", limit=1)
    first = early.acquire("ollama", "early:1", limit=1)

    assert (newcomer.granted, newcomer.reason) == (False, "1 asked before")
    assert not overtaking.granted
    assert first.granted


def test_a_newcomer_takes_what_the_waiting_ones_leave(process: Process) -> None:
    holder, waiter = process("a"), process("b")
    holder.acquire("ollama", "t1:1", limit=1)
    waiter.acquire("ollama", "early:1", limit=1)

    assert not holder.acquire("ollama", "new:1", limit=2).granted
    assert holder.acquire("ollama", "new:1", limit=3).granted


def test_the_place_of_a_dead_waiter_lapses(process: Process) -> None:
    holder = process("a")
    holder.acquire("ollama", "t1:1", limit=1)
    process("dead").acquire("ollama", "early:1", limit=1)
    holder.release("ollama", "t1:1")
    started = time.monotonic()

    until(lambda: holder.acquire("ollama", "new:1", limit=1).granted)

    assert time.monotonic() - started >= PLACE_SECONDS / 2


def test_giving_up_a_place_lets_the_next_one_in(process: Process) -> None:
    holder, waiter = process("a"), process("b")
    holder.acquire("ollama", "t1:1", limit=1)
    waiter.acquire("ollama", "early:1", limit=1)
    holder.release("ollama", "t1:1")

    waiter.release("ollama", "early:1")

    assert holder.acquire("ollama", "new:1", limit=1).granted


def test_one_who_does_not_wait_keeps_no_place(process: Process) -> None:
    slots = process("a")
    slots.acquire("ollama", "t1:1", limit=1)

    denied = slots.acquire("ollama", "passing:1", limit=1, wait=False)
    slots.release("ollama", "t1:1")

    assert denied.retry_in_seconds is None
    assert slots.acquire("ollama", "new:1", limit=1).granted


def test_a_heavy_waiter_does_not_hold_up_light_ones_while_it_could_not_start(
    process: Process,
) -> None:
    slots = process("a")
    slots.acquire("ollama", "t1:1", limit=2, heavy=True, heavy_limit=1)
    slots.acquire("ollama", "heavy:1", limit=2, heavy=True, heavy_limit=1)

    assert slots.acquire("ollama", "light:1", limit=2, heavy_limit=1).granted


def test_a_heavy_waiter_gets_its_turn_before_later_light_ones(process: Process) -> None:
    slots = process("a")
    slots.acquire("ollama", "t1:1", limit=1, heavy=True, heavy_limit=1)
    slots.acquire("ollama", "heavy:1", limit=1, heavy=True, heavy_limit=1)
    slots.release("ollama", "t1:1")

    assert not slots.acquire("ollama", "light:1", limit=1, heavy_limit=1).granted
    assert slots.acquire("ollama", "heavy:1", limit=1, heavy=True, heavy_limit=1).granted


def test_a_heavy_newcomer_does_not_pass_a_heavy_waiter_though_light_slots_are_free(
    process: Process,
) -> None:
    slots = process("a")
    slots.acquire("ollama", "t1:1", limit=4, heavy=True, heavy_limit=1)
    slots.acquire("ollama", "t2:1", limit=4, heavy=True, heavy_limit=1)
    slots.release("ollama", "t1:1")

    newcomer = slots.acquire("ollama", "t3:1", limit=4, heavy=True, heavy_limit=1)

    assert newcomer.reason == "1 asked before"
    assert slots.acquire("ollama", "t2:1", limit=4, heavy=True, heavy_limit=1).granted


def test_waiting_for_the_common_bound_is_fair_across_backends(process: Process) -> None:
    slots = process("a")
    slots.acquire("ollama", "t1:1", limit=1, total_limit=1)
    slots.acquire("mlx", "early:1", limit=1, total_limit=1)
    slots.release("ollama", "t1:1")

    newcomer = slots.acquire("ollama", "new:1", limit=1, total_limit=1)

    assert (newcomer.granted, newcomer.reason) == (False, "1 asked before")
    assert slots.acquire("mlx", "early:1", limit=1, total_limit=1).granted


def test_a_client_that_decodes_responses_works_too(server: Server) -> None:
    with server.client(decode_responses=True) as client:
        slots = Slots(client, prefix="decoded", owner="a")
        slots.acquire("ollama", "t1:1", limit=1)

        assert slots.acquire("ollama", "t2:1", limit=1).reason == "all 1 slots are in use"
        assert [lease.holder for lease in slots.holders("ollama")] == ["t1:1"]


def test_every_backend_can_be_inspected(process: Process) -> None:
    slots = process("a")
    slots.acquire("ollama", "t1:1", limit=1, heavy_limit=1)
    slots.acquire("ollama", "t2:1", limit=1, heavy_limit=1)
    slots.acquire("mlx", "t3:1", limit=3)

    states = {state.backend: state for state in slots.inspect()}

    assert (states["ollama"].limit, states["ollama"].waiting) == (1, 1)
    assert states["mlx"].limit == 3
    assert slots.holders("never asked for") == ()
