"""The same guard over TLS: streams, deadlines and cancels on an encrypted connection."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llm import errors
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


@pytest.fixture
def server(silent: threading.Event) -> Iterator[RawServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    over = threading.Event()

    def handler(plain: socket.socket) -> None:
        with context.wrap_socket(plain, server_side=True) as sock:
            while read_request(sock):
                sock.sendall(HEAD % EVENTS + chunk(ANSWER))
                if silent.is_set():
                    over.wait(30.0)
                    return
                sock.sendall(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    with raw_server(handler) as running:
        yield running
        over.set()


def backend_of(server: RawServer, **environ: str):
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
