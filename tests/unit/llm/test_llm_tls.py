"""The same guard over TLS: streams, deadlines and cancels on an encrypted connection."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llm import errors
from llm.backends import transport
from llm.backends.base import BackendAdapter
from llm.backends.registry import build
from llm.types import BackendKind, BackendSpec, CancelToken, Deadlines, GenerateRequest, Message
from tests.unit.llm.raw_server import EVENTS, HEAD, RawServer, chunk, raw_server, read_request

CERTIFICATE = Path(__file__).with_name("loopback_only.pem")
PATIENT = Deadlines(first_token_seconds=60.0, between_tokens_seconds=60.0, total_seconds=90.0)
REQUEST = GenerateRequest("m", (Message("user", "Hello?"),), max_tokens=50)
ANSWER = b'data: {"choices":[{"delta":{"content":"hi there"},"finish_reason":"stop"}]}\n\n'


@pytest.fixture
def silent() -> threading.Event:
    """Set: the server says nothing after its first token."""
    return threading.Event()


def over_tls(handler: Callable[[ssl.SSLSocket], None]) -> Callable[[socket.socket], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)

    def wrapped(plain: socket.socket) -> None:
        with context.wrap_socket(plain, server_side=True) as sock:
            handler(sock)

    return wrapped


@pytest.fixture
def server(silent: threading.Event) -> Iterator[RawServer]:
    over = threading.Event()

    def handler(sock: ssl.SSLSocket) -> None:
        while read_request(sock):
            sock.sendall(HEAD % EVENTS + chunk(ANSWER))
            if silent.is_set():
                over.wait(30.0)
                return
            sock.sendall(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    with raw_server(over_tls(handler)) as running:
        yield running
        over.set()


def backend_of(server: RawServer, **environ: str) -> BackendAdapter:
    spec = BackendSpec("tls", BackendKind.OPENAI, server.url.replace("http:", "https:"))
    return build(spec, environ=environ)


def test_a_trusted_server_answers_on_one_connection(server: RawServer) -> None:
    backend = backend_of(server, REQUESTS_CA_BUNDLE=str(CERTIFICATE))

    texts = [backend.generate(REQUEST, deadlines=PATIENT).text for _ in range(3)]
    backend.close()

    assert texts == ["hi there"] * 3
    assert server.connections == 1


def test_an_unknown_certificate_is_unreachable(server: RawServer) -> None:
    backend = backend_of(server)

    with pytest.raises(errors.BackendUnreachable, match="TLS failed"):
        backend.generate(REQUEST, deadlines=PATIENT)


def test_a_silent_stream_ends_at_its_deadline(server: RawServer, silent: threading.Event) -> None:
    silent.set()
    backend = backend_of(server, SSL_CERT_FILE=str(CERTIFICATE))

    with pytest.raises(errors.StallTimeout) as caught:
        backend.generate(REQUEST, deadlines=replace(PATIENT, between_tokens_seconds=0.2))
    backend.close()

    assert caught.value.partial_text == "hi there"


def test_a_silent_stream_is_cancelled(server: RawServer, silent: threading.Event) -> None:
    silent.set()
    backend = backend_of(server, SSL_CERT_FILE=str(CERTIFICATE))
    cancel = CancelToken()
    started = time.monotonic()

    with pytest.raises(errors.CallCancelled):
        backend.generate(
            REQUEST,
            deadlines=PATIENT,
            cancel=cancel,
            on_progress=lambda progress: (
                cancel.cancel("drain") if progress.completion_tokens else None
            ),
        )
    backend.close()

    assert time.monotonic() - started < 20.0


@pytest.fixture
def short_attempts(monkeypatch: pytest.MonkeyPatch) -> float:
    """Seconds of one attempt to connect; a pause of a few times that is a long one."""
    monkeypatch.setattr(transport, "CONNECT_ATTEMPT_SECONDS", 0.1)
    return 0.1


def answers(sock: ssl.SSLSocket) -> None:
    read_request(sock)
    sock.sendall(HEAD % EVENTS + chunk(ANSWER) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")


def silent_for_ever(sock: socket.socket) -> None:
    while sock.recv(1 << 16):
        pass


def hangs_up(sock: ssl.SSLSocket) -> None:
    read_request(sock)


def test_a_slow_handshake_is_waited_for(short_attempts: float) -> None:
    def handler(plain: socket.socket) -> None:
        time.sleep(4 * short_attempts)
        over_tls(answers)(plain)

    with raw_server(handler) as server:
        backend = backend_of(server, SSL_CERT_FILE=str(CERTIFICATE))
        completion = backend.generate(REQUEST, deadlines=replace(PATIENT, connect_seconds=20.0))
        backend.close()

        assert completion.text == "hi there"
        assert server.connections == 1


def test_a_handshake_that_is_never_answered_is_a_connect_timeout(short_attempts: float) -> None:
    with raw_server(silent_for_ever) as server:
        backend = backend_of(server, SSL_CERT_FILE=str(CERTIFICATE))
        started = time.monotonic()
        with pytest.raises(errors.ConnectTimeout):
            backend.generate(REQUEST, deadlines=replace(PATIENT, connect_seconds=0.5))
        backend.close()

    assert time.monotonic() - started >= 0.5


def test_a_call_is_cancelled_during_the_handshake() -> None:
    cancel = CancelToken()

    def handler(sock: socket.socket) -> None:
        sock.recv(1)  # the handshake has begun
        cancel.cancel("drain")
        silent_for_ever(sock)

    with raw_server(handler) as server:
        backend = backend_of(server, SSL_CERT_FILE=str(CERTIFICATE))
        started = time.monotonic()
        with pytest.raises(errors.CallCancelled):
            backend.generate(
                REQUEST, deadlines=replace(PATIENT, connect_seconds=60.0), cancel=cancel
            )
        backend.close()

    assert time.monotonic() - started < 20.0


def test_a_long_prompt_may_be_read_with_pauses(short_attempts: float) -> None:
    def handler(sock: ssl.SSLSocket) -> None:
        time.sleep(4 * short_attempts)
        answers(sock)

    with raw_server(over_tls(handler)) as server:
        backend = backend_of(server, SSL_CERT_FILE=str(CERTIFICATE))
        long = replace(REQUEST, messages=(Message("user", "word " * 2_000_000),))
        completion = backend.generate(long, deadlines=PATIENT)
        backend.close()

    assert completion.text == "hi there"


def test_a_server_that_hangs_up_on_a_new_connection_is_asked_once() -> None:
    with raw_server(over_tls(hangs_up)) as server:
        backend = backend_of(server, SSL_CERT_FILE=str(CERTIFICATE))
        with pytest.raises(errors.BackendUnreachable):
            backend.generate(REQUEST, deadlines=PATIENT)
        backend.close()

        assert server.connections == 1
