"""The door, without a server behind it."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import PlainTextResponse

from console.web.security.attempts import BY_ADDRESS, LoginAttempts
from console.web.security.guard import Guard
from console.web.security.sessions import Sessions

TOKEN = "a-token-for-tests"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_one_address_does_not_shut_out_another() -> None:
    guard = _guard(LoginAttempts(clock=Clock()))
    for _ in range(BY_ADDRESS):
        assert _asked(guard, "wrong", address="10.0.0.1") == 401

    assert _asked(guard, TOKEN, address="10.0.0.1") == 429
    assert _asked(guard, TOKEN, address="10.0.0.2") == 200


def test_wrong_tokens_of_the_form_and_of_the_header_count_together() -> None:
    attempts = LoginAttempts(clock=Clock())
    guard = _guard(attempts)
    for _ in range(BY_ADDRESS - 1):
        attempts.failed("10.0.0.1")

    assert _asked(guard, "wrong", address="10.0.0.1") == 401
    assert attempts.wait_seconds("10.0.0.1") == 60


def test_the_door_opens_again_after_a_minute() -> None:
    clock = Clock()
    guard = _guard(LoginAttempts(clock=clock))
    for _ in range(BY_ADDRESS + 3):
        _asked(guard, "wrong", address="10.0.0.1")

    clock.now += 60

    assert _asked(guard, TOKEN, address="10.0.0.1") == 200


def test_a_request_for_another_host_counts_for_nothing() -> None:
    attempts = LoginAttempts(clock=Clock())
    guard = _guard(attempts)

    answers = {_asked(guard, "wrong", address="10.0.0.1", host="evil") for _ in range(BY_ADDRESS)}

    assert answers == {421}
    assert attempts.wait_seconds("10.0.0.1") == 0


def _guard(attempts: LoginAttempts) -> Guard:
    return Guard(
        PlainTextResponse("in"),
        sessions=Sessions(TOKEN, port=11480),
        attempts=attempts,
        hosts=["localhost"],
        needs_token=True,
        read_only=False,
    )


def _asked(guard: Guard, bearer: str, *, address: str, host: str = "localhost") -> int:
    """The status of one request to the metrics."""
    sent: list[Any] = []
    headers = {"host": host, "authorization": f"Bearer {bearer}"}
    scope = {
        "type": "http", "method": "GET", "path": "/metrics", "scheme": "http",
        "client": (address, 1), "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    return int(sent[0]["status"])
