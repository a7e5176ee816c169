"""The door, without a server behind it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from console.web.security.attempts import BY_ADDRESS, LoginAttempts
from console.web.security.guard import MAX_BODY_BYTES, Guard
from console.web.security.sessions import Sessions

TOKEN = "a-token-for-tests"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_wrong_tokens_never_shut_out_a_right_one() -> None:
    guard = _guard(LoginAttempts(clock=Clock()))

    answers = [_asked(guard, f"wrong {n}", address="10.0.0.1") for n in range(300)]

    assert answers == [401] * BY_ADDRESS + [429] * (300 - BY_ADDRESS)
    assert _asked(guard, TOKEN, address="10.0.0.1") == 200
    assert _asked(guard, TOKEN, address="10.0.0.2") == 200


def test_a_program_with_an_old_token_spends_one_guess_of_its_address() -> None:
    guard = _guard(LoginAttempts(clock=Clock()))

    answers = {_asked(guard, "old", address="10.0.0.1") for _ in range(50)}

    assert answers == {401}
    assert _asked(guard, "a typing error", address="10.0.0.1") == 401


def test_wrong_tokens_of_the_form_and_of_the_header_count_together() -> None:
    attempts = LoginAttempts(clock=Clock())
    guard = _guard(attempts)
    for number in range(BY_ADDRESS):
        assert attempts.failed("10.0.0.1", f"form {number}") == 0

    assert _asked(guard, "header", address="10.0.0.1") == 429


def test_guesses_are_forgotten_after_a_minute() -> None:
    clock = Clock()
    guard = _guard(LoginAttempts(clock=clock))
    for number in range(BY_ADDRESS + 3):
        _asked(guard, f"wrong {number}", address="10.0.0.1")

    clock.now += 60

    assert _asked(guard, "another", address="10.0.0.1") == 401


def test_a_request_for_another_host_counts_for_nothing() -> None:
    guard = _guard(LoginAttempts(clock=Clock()))

    answers = {
        _asked(guard, f"wrong {n}", address="10.0.0.1", host="evil") for n in range(2 * BY_ADDRESS)
    }

    assert answers == {421}
    assert _asked(guard, "wrong", address="10.0.0.1") == 401


def test_a_body_beyond_its_bound_is_cut_off_where_it_hides_its_length() -> None:
    chunk = b" " * 1_000_000
    received = _body_of(
        itertools.repeat({"type": "http.request", "body": chunk, "more_body": True})
    )

    assert received == (MAX_BODY_BYTES, 413)


@pytest.mark.parametrize("length", [str(MAX_BODY_BYTES + 1), "9" * 5000, "-1"])
def test_a_body_that_announces_too_much_is_refused_unread(length: str) -> None:
    sent: list[Any] = []

    async def nothing_is_read() -> Any:
        raise AssertionError("the body was read")

    async def send(message: Any) -> None:
        sent.append(message)

    headers = {"host": "localhost", "content-length": length, "authorization": f"Bearer {TOKEN}"}
    scope = _scope(headers, "10.0.0.1")
    asyncio.run(_guard(LoginAttempts())(scope, nothing_is_read, send))

    assert sent[0]["status"] == 413
    assert (b"connection", b"close") in sent[0]["headers"]


def test_a_body_that_comes_too_slowly_is_cut_off() -> None:
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, None]

    assert _body_of(iter(messages), body_seconds=0.05) == (1, 408)


def test_an_upload_has_a_time_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.web.security.guard.UPLOADS", frozenset({"/metrics"}))
    monkeypatch.setattr("console.web.security.guard.UPLOAD_SECONDS", 0.05)
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, None]

    assert _body_of(iter(messages), body_seconds=3600.0) == (1, 408)


def _body_of(messages: Iterator[Any], *, body_seconds: float = 60.0) -> tuple[int, int]:
    """How many bytes a route reads of a body until it is cut off, and the status that it answers;
    None comes never."""
    read = 0

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal read
        while (message := await receive())["type"] != "http.disconnect":
            read += len(message["body"])

    async def receive() -> Any:
        message = next(messages)
        return message if message is not None else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        """Nothing is answered here."""

    scope = _scope({"host": "localhost", "authorization": f"Bearer {TOKEN}"}, "10.0.0.1")
    asyncio.run(_guard(LoginAttempts(), route, body_seconds)(scope, receive, send))
    return read, scope["kos_cut_off"]


def _guard(
    attempts: LoginAttempts, app: ASGIApp | None = None, body_seconds: float = 60.0
) -> Guard:
    return Guard(
        app or PlainTextResponse("in"),
        sessions=Sessions(TOKEN, port=11480),
        attempts=attempts,
        hosts=["localhost"],
        needs_token=True,
        read_only=False,
        body_seconds=body_seconds,
    )


def _asked(guard: Guard, bearer: str, *, address: str, host: str = "localhost") -> int:
    """The status of one request to the metrics."""
    sent: list[Any] = []
    headers = {"host": host, "authorization": f"Bearer {bearer}"}

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(guard(_scope(headers, address), receive, send))
    return int(sent[0]["status"])


def _scope(headers: dict[str, str], address: str) -> Scope:
    return {
        "type": "http", "method": "GET", "path": "/metrics", "scheme": "http",
        "client": (address, 1), "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }  # fmt: skip
