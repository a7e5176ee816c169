"""Redis may lose what it holds: a flush, a restart, a restored snapshot."""

from __future__ import annotations

import time
from typing import Any
from unittest.mock import Mock

import pytest
import redis

from jobs.admission.slots import INTERACTIVE_PREFIX, Slots
from tests.integration.admission.conftest import LEASE_SECONDS, RENEW_SECONDS, Process
from tests.integration.admission.test_slots_admission import until
from tests.support.embedded import redis_server


def test_a_flush_does_not_open_the_gates(process: Process, client: redis.Redis) -> None:
    busy, other = process("a"), process("b")
    busy.acquire("ollama", "t1:1", limit=1)
    other.acquire("mlx", "t2:1", limit=1)

    client.flushall()
    denied = other.acquire("ollama", "t3:1", limit=1)
    busy.renew({"ollama": ["t1:1"]})

    assert not denied.granted
    assert denied.reason.startswith("Redis lost its slots")
    assert [lease.holder for lease in busy.holders("ollama")] == ["t1:1"]
    assert [lease.holder for lease in other.holders("mlx")] == ["t2:1"]


def test_admission_resumes_when_the_holders_had_time_to_report(
    process: Process, client: redis.Redis
) -> None:
    slots = process("a")
    slots.acquire("ollama", "t1:1", limit=2)
    client.flushall()
    started = time.monotonic()

    until(lambda: slots.acquire("ollama", "t2:1", limit=2).granted)

    assert time.monotonic() - started >= RENEW_SECONDS / 2
    assert slots.in_use("ollama") == 2


def test_a_redis_that_is_new_to_everybody_grants_at_once(process: Process) -> None:
    assert process("a").acquire("ollama", "t1:1", limit=1).granted


def test_a_live_slot_is_put_back_even_over_the_limit(process: Process, client: redis.Redis) -> None:
    busy = process("a")
    busy.acquire("ollama", "t1:1", limit=1)
    client.flushall()
    process("fresh").acquire("ollama", "t2:1", limit=1)

    assert busy.renew() == ()

    assert busy.in_use("ollama") == 2


def test_a_heavy_slot_is_put_back_as_heavy(process: Process, client: redis.Redis) -> None:
    busy = process("a")
    busy.acquire("ollama", "t1:1", limit=2, heavy=True, heavy_limit=1)
    client.flushall()

    busy.renew()

    assert [lease.heavy for lease in busy.holders("ollama")] == [True]


def test_fences_grow_over_a_flush(process: Process, client: redis.Redis) -> None:
    before = process("a").acquire("ollama", "t1:1", limit=1)
    client.flushall()

    after = process("fresh").acquire("ollama", "t2:1", limit=1)

    assert after.grant_number > before.grant_number


@pytest.mark.parametrize("after", ["a grant", "a refusal", "a renewal"])
def test_a_restored_snapshot_is_noticed(after: str) -> None:
    with redis_server() as server, server.client() as client:
        slots = Slots(client, lease_seconds=30.0, owner="a")
        slots.acquire("ollama", "t1:1", limit=2)
        snapshot = {name: client.dump(name) for name in client.keys("*")}
        slots.acquire("ollama", "t2:1", limit=2)
        if after == "a refusal":
            slots.acquire("ollama", "t3:1", limit=2)
        elif after == "a renewal":
            slots.renew()
        client.flushall()
        for name, content in snapshot.items():
            client.restore(name, 0, content)

        denied = slots.acquire("ollama", "t3:1", limit=9)

        assert denied.reason.startswith("Redis lost its slots")
        assert {lease.holder for lease in slots.holders("ollama")} == {"t1:1", "t2:1"}


def test_a_lapsed_slot_is_put_back_while_there_is_room(process: Process) -> None:
    frozen = process("a")
    frozen.acquire("ollama", "t1:1", limit=2)
    until(lambda: frozen.in_use("ollama") == 0)

    assert frozen.renew() == ()

    assert frozen.in_use("ollama") == 1


def test_a_lapsed_slot_that_went_to_another_is_lost_for_good(process: Process) -> None:
    frozen, heir = process("a"), process("b")
    frozen.acquire("ollama", "t1:1", limit=1)
    until(lambda: heir.acquire("ollama", "t2:1", limit=1).granted)

    assert frozen.renew({"ollama": ["t1:1"]}) == ("t1:1",)

    assert [lease.holder for lease in heir.holders("ollama")] == ["t2:1"]
    assert frozen.renew() == ()


@pytest.mark.parametrize(
    ("frozen_is_heavy", "taken", "request_of_the_heir"),
    [
        (False, "mlx", {"limit": 2, "total_limit": 1}),
        (True, "ollama", {"limit": 2, "heavy": True, "heavy_limit": 1}),
        (False, "ollama", {"limit": 1}),
    ],
    ids=["of all backends", "of heavy models", "of the backend"],
)
def test_a_lapsed_slot_is_not_put_back_over_any_limit(
    process: Process, frozen_is_heavy: bool, taken: str, request_of_the_heir: dict[str, Any]
) -> None:
    frozen, heir = process("a"), process("b")
    frozen.acquire("ollama", "t1:1", limit=2, heavy=frozen_is_heavy)
    until(lambda: frozen.in_use("ollama") == 0)
    assert heir.acquire(taken, "t2:1", **request_of_the_heir).granted

    assert frozen.renew() == ("t1:1",)

    assert [lease.holder for lease in heir.holders(taken)] == ["t2:1"]


def test_who_reports_after_the_others_were_let_in_gets_only_what_is_free(
    process: Process, client: redis.Redis
) -> None:
    frozen, other = process("a"), process("b")
    frozen.acquire("ollama", "t1:1", limit=1)
    other.acquire("mlx", "t2:1", limit=1)
    client.flushall()
    until(lambda: other.acquire("ollama", "t3:1", limit=1).granted)

    assert frozen.renew() == ("t1:1",)

    assert [lease.holder for lease in other.holders("ollama")] == ["t3:1"]


def test_a_process_that_starts_after_a_flush_waits_for_the_reports_of_running_calls(
    process: Process, client: redis.Redis
) -> None:
    busy = process("a")
    busy.acquire("ollama", "t1:1", limit=1)
    client.flushall()
    fresh = process("fresh", calls_may_run=lambda: True)

    denied = fresh.acquire("ollama", "t2:1", limit=1)
    busy.renew()

    assert denied.reason.startswith("Redis lost its slots")
    assert not fresh.acquire("ollama", "t2:1", limit=1).granted
    assert [lease.holder for lease in fresh.holders("ollama")] == ["t1:1"]


def test_a_process_that_starts_beside_others_waits_for_nobody(
    process: Process, client: redis.Redis
) -> None:
    process("a").acquire("ollama", "t1:1", limit=2)
    until(lambda: _knows_for_seconds(client) > RENEW_SECONDS)
    fresh = process("fresh", calls_may_run=lambda: True)

    assert fresh.acquire("ollama", "t2:1", limit=2).granted


def _knows_for_seconds(client: redis.Redis) -> float:
    generation = int(client.hget("kos:slots:state", "generation") or 0)
    return time.time() - generation / 1e6


def test_a_loss_is_made_up_for_once_and_later_lapses_are_judged_as_ever(
    process: Process, client: redis.Redis
) -> None:
    frozen, other = process("a"), process("b")
    frozen.acquire("ollama", "t1:1", limit=1)
    client.flushall()
    assert frozen.renew() == ()
    until(lambda: other.acquire("ollama", "t2:1", limit=1).granted)

    assert frozen.renew() == ("t1:1",)
    assert [lease.holder for lease in other.holders("ollama")] == ["t2:1"]


def test_a_slot_released_while_its_renewal_is_on_the_way_stays_released(
    process: Process, client: redis.Redis
) -> None:
    slots = process("a")
    slots.acquire("ollama", "t1:1", limit=1)
    send = slots._run

    def release_before_it_arrives(name: str, arguments: list[object]) -> object:
        if name == "renew":
            slots.release("ollama", "t1:1")
        return send(name, arguments)

    slots._run = release_before_it_arrives  # type: ignore[method-assign]
    slots.renew()

    assert slots.in_use("ollama") == 0


class LosesReplies(Slots):
    """Redis does what is asked, and the answers named in ``lost`` do not arrive."""

    lost: tuple[str, ...] = ()

    def _run(self, name: str, arguments: list[object]) -> object:
        answer = super()._run(name, arguments)
        if name in self.lost:
            raise redis.ConnectionError("reset by peer")
        return answer


def test_a_slot_whose_grant_was_never_heard_of_is_given_back(client: redis.Redis) -> None:
    slots = LosesReplies(client, owner="a")
    slots.lost = ("acquire",)
    with pytest.raises(redis.ConnectionError):
        slots.acquire("ollama", "t1:1", limit=2)
    slots.lost = ()
    assert slots.in_use("ollama") == 1

    slots.renew()

    assert slots.in_use("ollama") == 0


def test_asking_again_after_a_lost_grant_gets_the_slot_for_good(client: redis.Redis) -> None:
    slots = LosesReplies(client, owner="a")
    slots.lost = ("acquire",)
    with pytest.raises(redis.ConnectionError):
        slots.acquire("ollama", "t1:1", limit=1)
    slots.lost = ()

    granted = slots.acquire("ollama", "t1:1", limit=1).granted
    slots.renew()

    assert granted
    assert slots.in_use("ollama") == 1


def test_a_release_that_did_not_get_through_is_made_up_for(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = Slots(client, owner="a")
    slots.acquire("ollama", "t1:1", limit=1)
    with monkeypatch.context() as broken:
        broken.setattr(client, "evalsha", Mock(side_effect=redis.ConnectionError("refused")))
        with pytest.raises(redis.ConnectionError):
            slots.release("ollama", "t1:1")

    assert slots.acquire("ollama", "t2:1", limit=1).granted


def test_the_slots_of_a_dead_process_can_be_swept_before_their_lease_ends(
    client: redis.Redis,
) -> None:
    dead, alive = Slots(client, owner="dead"), Slots(client, owner="alive")
    dead.acquire("ollama", "t1:1", limit=2)
    alive.acquire("ollama", "t1:1", limit=2)

    freed = alive.sweep(lambda owner: owner == "dead")

    assert freed == 1
    assert [lease.owner for lease in alive.holders("ollama")] == ["alive"]


def test_a_lease_ends_when_it_says(process: Process) -> None:
    slots = process("a")
    slots.acquire("ollama", "t1:1", limit=1)

    remaining = slots.holders("ollama")[0].expires_at.timestamp() - time.time()

    assert 0 < remaining <= LEASE_SECONDS


def test_who_was_granted_a_slot_stands_in_the_line_no_longer(process: Process) -> None:
    slots = process("a")
    slots.acquire("ollama", "t1:1", limit=1)
    slots.acquire("ollama", "t2:1", limit=1)
    assert slots.inspect("ollama")[0].waiting == 1
    slots.release("ollama", "t1:1")

    assert slots.acquire("ollama", "t2:1", limit=1).granted

    assert slots.inspect("ollama")[0].waiting == 0


def test_a_chat_whose_slot_lapsed_leaves_nothing_that_tasks_could_take(process: Process) -> None:
    slots = process("a")
    slots.acquire("ollama", f"{INTERACTIVE_PREFIX}gone", limit=2)
    until(lambda: slots.in_use("ollama") == 0)

    first, second = (
        slots.acquire("ollama", f"t{n}:1", limit=2, reserved=1, wait=False) for n in (1, 2)
    )

    assert first.granted
    assert second.reason == "the rest is kept for people"
