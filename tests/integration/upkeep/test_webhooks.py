"""From the end of a task to its receiver: rows on a real Postgres, real HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.policy.webhooks import JITTER, RETRY_SECONDS
from jobs.process.clock import utc_now
from jobs.settings.load import Settings, load
from jobs.upkeep.webhooks.delivering import RUN_SECONDS, Deliveries
from models import database, webhook
from models.base import fetch_all
from models.task import NewTask, Task
from tests.support import receivers
from tests.support.receivers import receiver, saying

SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, no less").decode()
EVENTS = ("task.completed", "task.failed", "batch.done", "backlog.stuck")


@pytest.fixture(autouse=True)
def rows(migrated_url: str) -> Iterator[None]:
    database.configure(migrated_url, pool_size=8, application_name="kos-test")
    with database.session():
        yield
    database.close_all()


def settings(**environ: str) -> Settings:
    return load({"KOS_WEBHOOK_NETWORKS": "127.0.0.0/8", **environ})


def deliver(**environ: str) -> None:
    Deliveries(settings(**environ), deadline_seconds=0.5).run()


def listen(name: str, url: str) -> None:
    assert webhook.add(name, url=url, secret=SECRET, events=EVENTS)


def end(status: str = "completed", **metadata: Any) -> str:
    [task_id] = Task.submit([NewTask(title="t", description="d", metadata=metadata)])
    assert task_id
    fetch_all("UPDATE tasks SET status = %s WHERE id = %s::uuid", (status, task_id))
    return task_id


def states(name: str) -> list[tuple[str, int, str | None]]:
    found = webhook.deliveries(name, limit=100)
    return [(one.state, one.attempts, one.problem) for one in found]


def make_due() -> None:
    fetch_all("UPDATE kos_webhook_deliveries SET next_attempt_at = now()")
    fetch_all("UPDATE kos_webhooks SET held_until = NULL")


def test_a_task_that_ends_is_delivered_once_and_its_signature_holds() -> None:
    with receiver(saying("200 OK")) as good:
        listen("good", good.url)
        task_id = end("completed", project="site", tags=["a"])
        end("failed")
        deliver()
        deliver()

    assert len(good.requests) == 2
    headers, body = good.requests[0]
    document = json.loads(body)
    assert document["type"] == "task.completed"
    assert document["data"]["id"] == task_id
    assert (document["data"]["project"], document["data"]["tags"]) == ("site", ["a"])
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    assert states("good") == [("delivered", 1, None)] * 2


def test_a_run_asked_for_during_another_comes_after_it() -> None:
    deliveries = Deliveries(settings())
    asked_meanwhile: list[bool] = []

    def ask_again(connection: socket.socket, closing: threading.Event) -> None:
        asked_meanwhile.append(deliveries.run())
        saying("200 OK")(connection, closing)

    with receiver(ask_again) as good:
        listen("good", good.url)
        end()
        needed = [deliveries.run(), deliveries.run()]

    assert asked_meanwhile == [False]
    assert needed == [True, False]


def test_an_event_is_written_with_its_outcome_or_not_at_all() -> None:
    listen("any", "http://127.0.0.1:9/")

    with database.database.atomic() as transaction:
        end()
        transaction.rollback()

    assert states("any") == []


def test_retries_and_other_changes_of_a_task_are_no_event() -> None:
    listen("any", "http://127.0.0.1:9/")
    [task_id] = Task.submit([NewTask(title="t", description="d")])
    for status in ("queued", "in_progress", "pending", "cancelled"):
        fetch_all("UPDATE tasks SET status = %s WHERE id = %s::uuid", (status, task_id))

    assert states("any") == []


def test_a_receiver_that_refuses_gets_the_same_event_again_later() -> None:
    with receiver(saying("503 Busy")) as busy:
        listen("busy", busy.url)
        end()
        end()
        deliver()
        deliver()
        assert states("busy") == [("pending", 1, "the receiver answered 503")] * 2
        busy.answer = saying("200 OK")
        make_due()
        deliver()

    ids = [headers["webhook-id"] for headers, _ in busy.requests]
    assert len(ids) == 4
    assert len(set(ids)) == 2
    assert states("busy") == [("delivered", 2, None)] * 2


@pytest.mark.parametrize(
    "answer", [receivers.slow_header, receivers.silent, receivers.endless_line]
)
def test_a_hostile_receiver_is_asked_once_a_run_and_holds_up_nobody(
    answer: receivers.Answer,
) -> None:
    with receiver(answer) as bad, receiver(saying("204 No Content")) as good:
        listen("bad", bad.url)
        listen("good", good.url)
        for _ in range(5):
            end()
        deliver()
        deliver()  # the bad one is held until its wait is over

        assert len(bad.requests) == 1
        assert len(good.requests) == 5
    assert sorted(state[:2] for state in states("bad")) == [("pending", 0)] * 4 + [("pending", 1)]


def test_a_receiver_that_is_down_loses_nothing() -> None:
    with receiver(saying("200 OK")) as down:
        url = down.url
    listen("down", url)
    for _ in range(3):
        end()
    deliver()
    held = fetch_all("SELECT failures, held_until > now() AS held FROM kos_webhooks")
    assert held == [{"failures": 1, "held": True}]

    with receiver(saying("200 OK")) as up:
        fetch_all("UPDATE kos_webhooks SET url = %s", (up.url,))
        make_due()
        deliver()

    assert len(up.requests) == 3
    assert fetch_all("SELECT failures FROM kos_webhooks") == [{"failures": 0}]


def test_a_receiver_that_stays_down_is_left_alone_for_ever_longer() -> None:
    listen("down", "http://127.0.0.1:9")
    end()
    waits = []
    for _ in range(3):
        make_due()
        deliver()
        [row] = fetch_all("SELECT extract(epoch FROM held_until - now()) AS s FROM kos_webhooks")
        waits.append(float(row["s"]))
        fetch_all("UPDATE kos_webhook_deliveries SET attempts = 0")  # another event each time

    bounds = [(seconds - 5, seconds * (1 + JITTER)) for seconds in RETRY_SECONDS[:3]]
    assert all(low < wait < high for wait, (low, high) in zip(waits, bounds, strict=True)), waits


def test_what_a_run_had_no_time_for_is_due_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    listen("shop", "http://127.0.0.1:9")
    for _ in range(3):
        end()
    passed = iter([0.0, 0.0, 0.0, *[RUN_SECONDS + 1] * 9])
    clock = SimpleNamespace(monotonic=lambda: next(passed))
    monkeypatch.setattr("jobs.upkeep.webhooks.delivering.time", clock)
    monkeypatch.setattr("jobs.upkeep.webhooks.delivering.send", lambda *_, **__: None)

    assert Deliveries(settings()).run()

    assert sorted(state for state, *_ in states("shop")) == ["delivered", "pending", "pending"]
    [row] = fetch_all(
        "SELECT count(*) AS due FROM kos_webhook_deliveries "
        "WHERE state = 'pending' AND attempts = 0 AND next_attempt_at <= now()"
    )
    assert row["due"] == 2


@pytest.mark.parametrize("late", ["delivered", "retry"])
def test_who_claimed_a_delivery_first_and_comes_late_changes_nothing(late: str) -> None:
    listen("shop", "http://127.0.0.1:9")
    end()
    [receiver_row] = webhook.with_due_deliveries()
    [first] = webhook.claim(receiver_row.id, limit=9, lease_seconds=60)
    make_due()
    [second] = webhook.claim(receiver_row.id, limit=9, lease_seconds=60)

    if late == "delivered":
        webhook.delivered(first)
    else:
        webhook.retry(first, "too late", at=utc_now())

    assert states("shop") == [("pending", 2, None)]
    webhook.delivered(second)
    assert states("shop") == [("delivered", 2, None)]


def test_what_waits_for_days_is_given_up() -> None:
    listen("down", "http://127.0.0.1:9/")
    end()
    fetch_all("UPDATE kos_webhook_deliveries SET created_at = now() - interval '5 days'")

    deliver()

    [(state, _, problem)] = states("down")
    assert state == "failed"
    assert problem


def test_an_address_that_is_private_is_not_called() -> None:
    with receiver(saying("200 OK")) as inside:
        listen("inside", inside.url)
        end()
        deliver(KOS_WEBHOOK_NETWORKS="10.0.0.0/8")

    assert inside.requests == []
    [(state, _, problem)] = states("inside")
    assert state == "pending"
    assert "private address" in str(problem)


def test_a_standstill_is_one_event_however_often_it_is_seen() -> None:
    listen("any", "http://127.0.0.1:9/")
    for since in ("first", "first", "second"):
        webhook.backlog_is_stuck(since=since, problem="stands still")

    assert [one.data["since"] for one in webhook.deliveries("any", limit=9)] == [
        "second",
        "first",
    ]


def test_the_command_and_the_address_of_the_settings_get_what_they_ask_for(tmp_path: Path) -> None:
    place = tmp_path / "events"
    code = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + chr(10))"
    with receiver(saying("200 OK")) as good:
        named = {
            "KOS_WEBHOOK_URL": good.url,
            "KOS_WEBHOOK_SECRET": SECRET,
            "KOS_WEBHOOK_EVENTS": "task.completed",
            "KOS_NOTIFY_COMMAND": f'"{sys.executable}" -c "{code}" {place}',
        }
        deliver(**named)
        end("completed")
        end("failed")
        deliver(**named)
        deliver()  # without them, as after a restart

    assert [json.loads(body)["type"] for _, body in good.requests] == ["task.completed"]
    lines = place.read_text().splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["task.failed"]
    assert webhook.listed() == []


def test_a_batch_that_ends_is_an_event() -> None:
    listen("any", "http://127.0.0.1:9/")
    fetch_all(
        "INSERT INTO kos_batches (id, input_file_id, endpoint, completion_window) "
        "VALUES ('batch_1', 'file-1', '/v1/chat/completions', '24h')"
    )
    for status in ("in_progress", "finalizing", "completed"):
        fetch_all("UPDATE kos_batches SET status = %s", (status,))

    [one] = webhook.deliveries("any", limit=9)
    assert (one.event, one.data["id"]) == ("batch.done", "batch_1")
