from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from llm import errors
from llm.backends import transport
from llm.backends.registry import Backends, UnknownBackend, build
from llm.types import (
    BackendKind,
    BackendSpec,
    CancelToken,
    Deadlines,
    GenerateRequest,
    Message,
)
from tests.unit.llm.raw_server import EVENTS, HEAD, NDJSON, chunk, raw_server, read_request, sends

DEADLINES = Deadlines(
    connect_seconds=2.0, first_token_seconds=3.0, between_tokens_seconds=3.0, total_seconds=5.0
)
PATIENT = Deadlines(connect_seconds=30.0, first_token_seconds=60.0, total_seconds=90.0)
REQUEST = GenerateRequest("m", (Message("user", "Hello?"),), max_tokens=50)
ANSWER = b'data: {"choices":[{"delta":{"content":"hi there"},"finish_reason":"stop"}]}\n\n'
WHOLE = (HEAD % EVENTS, chunk(ANSWER), chunk(b"data: [DONE]\n\n"), b"0\r\n\r\n")
KEY = "sk-very-secret-123"


def spec(url: str, **changes: object) -> BackendSpec:
    return replace(BackendSpec("raw", BackendKind.OPENAI, url), **changes)  # type: ignore[arg-type]


def status(line: str, body: bytes = b"", *headers: str) -> bytes:
    head = "".join(f"{header}\r\n" for header in headers)
    return (f"HTTP/1.1 {line}\r\nContent-Length: {len(body)}\r\n{head}\r\n").encode() + body


def error_for(reply: bytes, request: GenerateRequest = REQUEST) -> errors.LLMError:
    with raw_server(sends(reply)) as server:
        backend = build(spec(server.url), environ={})
        with pytest.raises(errors.LLMError) as caught:
            backend.generate(request, deadlines=DEADLINES)
        backend.close()
    return caught.value


@pytest.mark.parametrize(
    ("line", "body", "expected"),
    [
        ("400 Bad Request", b'{"error": {"message": "max_tokens"}}', errors.BadRequest),
        ("401 Unauthorized", b"", errors.NotAuthorized),
        ("403 Forbidden", b"<html>", errors.NotAuthorized),
        ("404 Not Found", b'{"error": "model \'x\' not found"}', errors.ModelNotFound),
        ("404 Not Found", b'{"detail":"Not Found"}', errors.BackendUnreachable),
        ("404 Not Found", b"404 page not found", errors.BackendUnreachable),
        ("405 Method Not Allowed", b"", errors.BackendUnreachable),
        ("408 Request Timeout", b"", errors.ServerFailed),
        ("413 Too Large", b"", errors.PromptTooLong),
        (
            "400 Bad",
            b'{"error":{"message":"model: \'m\' does not support chat: no chat template"}}',
            errors.ModelUnsuitable,
        ),
        ("422 Unprocessable", b'{"detail":[{"msg":"no"}]}', errors.BadRequest),
        ("429 Too Many Requests", b"", errors.Overloaded),
        ("499 Client Closed", b'{"error":"canceled"}', errors.ServerFailed),
        ("500 Internal", b"oops", errors.ServerFailed),
        ("500 Internal", b'{"error":"server busy, try again"}', errors.Overloaded),
        ("500 Internal", b'{"error":"error loading model /x"}', errors.LoadFailed),
        (
            "500 Internal",
            b'{"error":"model requires more system memory (9 GiB) than is available"}',
            errors.LoadFailed,
        ),
        ("502 Bad Gateway", b"<html>", errors.BackendUnreachable),
        ("503 Unavailable", b'{"error":{"message":"Loading model"}}', errors.Overloaded),
        ("302 Found", b"", errors.BackendUnreachable),
        ("400 Bad", b'{"error":""bge-m3" does not support chat"}', errors.ModelUnsuitable),
    ],
)
def test_a_status_becomes_its_error(
    line: str, body: bytes, expected: type[errors.LLMError]
) -> None:
    error = error_for(status(line, body))

    assert type(error) is expected, repr(error)
    assert error.status == int(line[:3])


def test_a_model_that_cannot_think_is_asked_again_without() -> None:
    seen: list[bytes] = []
    line = b'{"message":{"content":"hi"},"done":true,"done_reason":"stop"}\n'

    def handler(sock: socket.socket) -> None:
        seen.append(read_request(sock))
        sock.sendall(status("400 Bad", b'{"error":"\\"m\\" does not support thinking"}'))
        seen.append(read_request(sock))
        sock.sendall(HEAD % NDJSON + chunk(line) + b"0\r\n\r\n")

    with raw_server(handler) as server:
        backend = build(spec(server.url, kind=BackendKind.OLLAMA), environ={})
        completion = backend.generate(replace(REQUEST, think=True), deadlines=DEADLINES)
        backend.close()

    assert completion.text == "hi"
    assert [b'"think": true' in request for request in seen] == [True, False]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("0.5", 0.5), ("-4", 0.0), ("soon", None), ("1e99", 86400.0), ("nan", 0.0)],
)
def test_retry_after_is_read_with_care(value: str, seconds: float | None) -> None:
    error = error_for(status("503 Unavailable", b"", f"Retry-After: {value}"))

    assert error.retry_after_seconds == seconds


def test_retry_after_as_a_date_is_read() -> None:
    error = error_for(status("429 Too Many", b"", "Retry-After: Fri, 31 Dec 2100 23:59:59 GMT"))

    assert error.retry_after_seconds == 86400.0


def test_a_key_goes_into_the_header_and_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[bytes] = []

    def handler(sock: socket.socket) -> None:
        seen.append(read_request(sock))
        sock.sendall(status("401 Unauthorized", f'{{"error":"bad key {KEY}"}}'.encode()))

    with raw_server(handler) as server:
        backend = build(spec(server.url, api_key_env="MY_KEY"), environ={"MY_KEY": f" {KEY}\n"})
        with pytest.raises(errors.NotAuthorized) as caught:
            backend.generate(REQUEST, deadlines=DEADLINES)
        backend.close()

    assert f"Authorization: Bearer {KEY}".encode() in seen[0]
    shown = f"{caught.value!r} {caught.value.body_excerpt} {caplog.text} {backend.spec!r}"
    assert KEY not in shown


def test_credentials_of_the_url_are_sent() -> None:
    seen: list[bytes] = []

    def handler(sock: socket.socket) -> None:
        seen.append(read_request(sock))
        sock.sendall(b"".join(WHOLE))

    with raw_server(handler) as server:
        backend = build(spec(server.url, basic_auth=("user", "pässword")), environ={})
        backend.generate(REQUEST, deadlines=DEADLINES)
        backend.close()

    assert b"Authorization: Basic dXNlcjpww6Rzc3dvcmQ=" in seen[0]


def test_cookies_and_proxies_play_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    seen: list[bytes] = []

    def handler(sock: socket.socket) -> None:
        for _ in range(2):
            seen.append(read_request(sock))
            head = (HEAD % EVENTS).replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b; Path=/\r\n\r\n")
            sock.sendall(head + b"".join(WHOLE[1:]))

    with raw_server(handler) as server:
        backend = build(spec(server.url), environ={})
        for _ in range(2):
            assert backend.generate(REQUEST, deadlines=DEADLINES).text == "hi there"
        backend.close()

    assert len(seen) == 2
    assert not any(b"cookie" in request.lower() for request in seen)


def test_a_connection_that_the_server_closed_while_idle_is_replaced() -> None:
    def handler(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"".join(WHOLE))
        read_request(sock)  # the second request comes, and the server hangs up

    with raw_server(handler) as server:
        backend = build(spec(server.url), environ={})
        for _ in range(2):
            assert backend.generate(REQUEST, deadlines=DEADLINES).text == "hi there"
        backend.close()

        assert server.connections == 2


def test_a_server_that_hangs_up_on_a_new_connection_is_asked_once() -> None:
    def handler(sock: socket.socket) -> None:
        read_request(sock)

    with raw_server(handler) as server:
        backend = build(spec(server.url), environ={})
        with pytest.raises(errors.BackendUnreachable):
            backend.generate(REQUEST, deadlines=DEADLINES)
        backend.close()

        assert server.connections == 1


def test_a_long_prompt_on_a_used_connection_may_be_read_with_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "CONNECT_ATTEMPT_SECONDS", 0.1)

    def handler(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"".join(WHOLE))
        time.sleep(0.4)
        read_request(sock)
        sock.sendall(b"".join(WHOLE))

    with raw_server(handler) as server:
        backend = build(spec(server.url), environ={})
        backend.generate(REQUEST, deadlines=DEADLINES)
        long = replace(REQUEST, messages=(Message("user", "word " * 2_000_000),))
        assert backend.generate(long, deadlines=PATIENT).text == "hi there"
        backend.close()

        assert server.connections == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://no-such-host.invalid:80", "https://127.0.0.1:1"]
)
def test_nobody_there_is_unreachable(url: str) -> None:
    backend = build(spec(url), environ={})

    with pytest.raises(errors.BackendUnreachable):
        backend.generate(REQUEST, deadlines=DEADLINES)
    assert not backend.health().reachable


@pytest.fixture
def deaf_url() -> Iterator[str]:
    """A host that answers no handshake: its queue of connections is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for sock in waiting:
            sock.close()


def test_a_host_that_never_answers_is_a_connect_timeout(deaf_url: str) -> None:
    backend = build(spec(deaf_url), environ={})
    started = time.monotonic()

    with pytest.raises(errors.ConnectTimeout):
        backend.generate(REQUEST, deadlines=replace(DEADLINES, connect_seconds=1.0))
    assert time.monotonic() - started < 5.0


def test_a_call_is_cancelled_while_it_connects(deaf_url: str) -> None:
    backend = build(spec(deaf_url), environ={})
    cancel = CancelToken()
    canceller = threading.Timer(0.05, cancel.cancel, ("drain",))
    canceller.start()
    started = time.monotonic()

    with pytest.raises(errors.CallCancelled):
        backend.generate(REQUEST, deadlines=replace(DEADLINES, connect_seconds=4.0), cancel=cancel)
    canceller.join()
    assert time.monotonic() - started < 10.0


def test_a_server_that_does_not_speak_tls_is_unreachable() -> None:
    with raw_server(sends(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        backend = build(spec(server.url.replace("http:", "https:")), environ={})
        with pytest.raises(errors.TransientError):
            backend.generate(REQUEST, deadlines=DEADLINES)


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": (Message("user", "half \ud83d"),)},
        {"response_schema": {"default": float("nan")}},
        {"response_schema": {"default": {1, 2}}},
    ],
)
def test_what_cannot_be_written_is_a_bad_request(changes: dict[str, object]) -> None:
    backend = build(spec("http://127.0.0.1:1"), environ={})

    with pytest.raises(errors.BadRequest):
        backend.generate(replace(REQUEST, **changes), deadlines=DEADLINES)  # type: ignore[arg-type]


def test_a_hook_that_raises_ends_the_call_as_our_own_bug() -> None:
    def hook(progress: object) -> None:
        raise RuntimeError("bug")

    with raw_server(sends(*WHOLE)) as server:
        backend = build(spec(server.url), environ={})
        with pytest.raises(errors.PoisonedCall, match="bug"):
            backend.generate(REQUEST, deadlines=DEADLINES, on_progress=hook)
        backend.close()


def test_a_body_without_end_is_cut_off() -> None:
    def handler(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            sock.sendall(b" " * 65536)

    with raw_server(handler) as server:
        backend = build(spec(server.url), environ={})
        with pytest.raises(errors.StreamBroken):
            backend.list_models()
        backend.close()


def test_a_thousand_calls_leave_no_thread_and_no_socket() -> None:
    def handler(sock: socket.socket) -> None:
        while read_request(sock):
            sock.sendall(b"".join(WHOLE))

    before = len(os.listdir("/dev/fd"))
    threads_before = set(threading.enumerate())
    with raw_server(handler) as server:
        backend = build(spec(server.url), environ={})
        cancelled = CancelToken()
        cancelled.cancel("enough")
        for number in range(1000):
            token = cancelled if number % 10 == 9 else None
            try:
                backend.generate(REQUEST, deadlines=DEADLINES, cancel=token)
            except errors.CallCancelled:
                assert token is cancelled
        backend.close()

    end = time.monotonic() + 5.0
    while set(threading.enumerate()) - threads_before or len(os.listdir("/dev/fd")) > before:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_adapters_are_built_once_and_by_name() -> None:
    backends = Backends([spec("http://127.0.0.1:1")], environ={})

    assert backends.get("raw") is backends.get("raw")
    with pytest.raises(UnknownBackend, match="configured: raw"):
        backends.get("row")
    with pytest.raises(ValueError, match="same name"):
        Backends([spec("http://a:1"), spec("http://b:1")], environ={})
