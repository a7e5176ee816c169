"""Who comes in, under which name, and how much of a body is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message

from gateway import access, app, flexible
from gateway.access import AWAY_SECONDS, KEYS_SECONDS, Access
from gateway.app import Gateway, build_app
from gateway.errors import UnknownModel
from gateway.flexible import FlexibleTasks
from models import caller_key
from models.database import DatabaseUnavailable
from tests.unit.gateway.test_hang_up import SCOPE, SETTINGS

KEY = f"{caller_key.PREFIX}of-alice"
TASK = "00000000-0000-4000-8000-00000000dead"


def asked(application: Any, *messages: Message, **headers: str) -> tuple[int, dict[str, str], Any]:
    """Status, headers and scope of one answer."""
    named = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    scope = {**SCOPE, "headers": [(b"host", b"127.0.0.1"), *named]}
    coming, sent = iter(messages), []

    async def receive() -> Message:
        for message in coming:
            return message
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    async def ask() -> None:
        await application(scope, receive, send)

    anyio.run(ask)
    found = {name.decode(): text.decode() for name, text in sent[0]["headers"]}
    return sent[0]["status"], found, scope


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The keys in Postgres, by hash."""
    known = {caller_key.hash_of(KEY): "alice"}
    monkeypatch.setattr(access, "_read_keys", lambda: dict(known))
    return known


def access_of(*, token: str | None, host: str) -> Access:
    settings = SimpleNamespace(gateway_token=token, gateway_host=host, gateway_allowed_hosts=())
    return Access(PlainTextResponse("in"), settings=cast(Any, settings))


@pytest.mark.parametrize(
    ("token", "host", "shown", "caller"),
    [
        (None, "127.0.0.1", None, "local"),
        (None, "127.0.0.1", f"Bearer {KEY}", "alice"),
        (None, "127.0.0.1", "Bearer of-a-client", "local"),
        (None, "0.0.0.0", None, None),
        (None, "0.0.0.0", f"Bearer {KEY}", "alice"),
        (None, "0.0.0.0", f"Bearer {KEY}x", None),
        (None, "0.0.0.0", f"Basic {KEY}", None),
        ("secret", "127.0.0.1", None, None),
        ("secret", "127.0.0.1", "Bearer wrong", None),
        ("secret", "127.0.0.1", "bearer secret", "token"),
        ("secret", "127.0.0.1", f"Bearer {KEY}", "alice"),
    ],
)
def test_who_comes_in(
    keys: dict[str, str], token: str | None, host: str, shown: str | None, caller: str | None
) -> None:
    headers = {"authorization": shown} if shown is not None else {}

    status, found, scope = asked(access_of(token=token, host=host), **headers)

    assert scope["kos_caller"] == caller
    assert status == (200 if caller is not None else 401)
    assert ("www-authenticate" in found) == (caller is None)


def test_a_caller_without_a_key_names_itself_and_one_with_a_key_does_not(
    keys: dict[str, str],
) -> None:
    door = access_of(token=None, host="127.0.0.1")

    assert asked(door, x_kos_caller="n" * 500)[2]["kos_caller"] == "n" * 100
    bearer = {"authorization": f"Bearer {KEY}"}
    assert asked(door, x_kos_caller="bob", **bearer)[2]["kos_caller"] == "alice"


def test_keys_are_read_anew_and_kept_while_postgres_is_away(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    door = access_of(token=None, host="0.0.0.0")
    bearer = {"authorization": f"Bearer {KEY}"}
    assert asked(door, **bearer)[0] == 200

    tries: list[float] = []

    def away() -> Any:
        tries.append(now[0])
        raise DatabaseUnavailable("no route")

    with monkeypatch.context() as outage:
        outage.setattr(access, "_read_keys", away)
        now[0] += KEYS_SECONDS + 1
        assert asked(door, **bearer)[0] == 200
        now[0] += AWAY_SECONDS
        assert asked(door, **bearer)[0] == 200
    assert len(tries) == 1, "each try holds up a request"

    keys.clear()
    now[0] += KEYS_SECONDS + 1
    assert asked(door, **bearer)[0] == 401, "it was revoked"


@pytest.mark.parametrize(
    ("cause", "parts", "status"), [("large", [11], 413), ("large", [6, 6], 413), ("slow", [9], 408)]
)
def test_a_body_that_is_cut_off_ends_its_connection(
    monkeypatch: pytest.MonkeyPatch, cause: str, parts: list[int], status: int
) -> None:
    monkeypatch.setattr(app, "MAX_BODY_BYTES", 10)
    seconds = 0.05 if cause == "slow" else 60.0
    settings = SimpleNamespace(**{**vars(SETTINGS), "body_seconds": seconds})
    body: list[Message] = [
        {"type": "http.request", "body": b"{" * size, "more_body": True} for size in parts
    ]

    answer, headers, _ = asked(build_app(cast(Gateway, SimpleNamespace(settings=settings))), *body)

    assert (answer, headers["connection"]) == (status, "close")


@pytest.mark.parametrize("task_id", [TASK, TASK.upper(), f"urn:uuid:{TASK}", "0-" + "0" * 31, "x"])
def test_only_tasks_of_callers_are_cancelled_and_only_ids_reach_postgres(
    monkeypatch: pytest.MonkeyPatch, task_id: str
) -> None:
    looked_up: list[str] = []
    cancelled: list[str] = []

    def read(task_ids: list[str]) -> dict[str, Any]:
        looked_up.extend(task_ids)
        return {}

    monkeypatch.setattr(flexible, "_read", read)
    monkeypatch.setattr("models.task.Task.cancel", cancelled.extend)

    async def cancel() -> None:
        with pytest.raises(UnknownModel):
            await FlexibleTasks().cancel(task_id)

    anyio.run(cancel)

    assert cancelled == []
    assert looked_up == ([TASK] if task_id == TASK else [])


def test_a_task_of_a_caller_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled: list[str] = []

    @contextmanager
    def no_session() -> Iterator[None]:
        yield

    monkeypatch.setattr(flexible, "session", no_session)
    monkeypatch.setattr(flexible, "_read", lambda ids: dict.fromkeys(ids, "as it stands"))
    monkeypatch.setattr("models.task.Task.cancel", cancelled.extend)

    async def cancel() -> Any:
        return await FlexibleTasks().cancel(TASK)

    assert anyio.run(cancel) == "as it stands"
    assert cancelled == [TASK]
