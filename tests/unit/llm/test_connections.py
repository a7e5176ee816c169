"""Connections that say nothing, or too much, keep nobody out."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import uvicorn

from llm import connections
from llm.connections import BoundedCalls, BoundedPages, ConnectionTable

MOST = 4
WAIT_SECONDS = 30.0
MANY_LINES = 2000
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
HALF = b"GET / HTTP/1.1\r\nHost: local"
LARGE_BYTES = 32 * 1024 * 1024
ENDLESS = b"POST /%b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000000000\r\n\r\n"


class Door:
    """A server of a few connections. ``go_on`` lets the answers to /slow end."""

    def __init__(self, protocol: Any) -> None:
        self.go_on = threading.Event()
        self.entered = threading.Semaphore(0)
        config = uvicorn.Config(
            self._app,
            http=protocol,
            log_config=None,
            lifespan="off",
            timeout_keep_alive=60,
            interface="asgi3",
        )
        self._server = uvicorn.Server(config)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],))

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            self.entered.release()
            while not self.go_on.is_set():
                await asyncio.sleep(0.01)
        headers = [(b"content-length", b"2")]
        if scope["path"] == "/close":
            headers.append((b"connection", b"close"))
        status = 200 if scope["method"] == "GET" else 413
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    def __enter__(self) -> Door:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self._server.should_exit = True
        self._thread.join(WAIT_SECONDS)
        self._listener.close()

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self._listener.getsockname())

    def connect(self, say: bytes = b"") -> socket.socket:
        held = socket.create_connection(self._listener.getsockname(), timeout=WAIT_SECONDS)
        held.sendall(say)
        return held


@pytest.fixture(params=[BoundedCalls, BoundedPages])
def door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.4)
    table = ConnectionTable(by_address=MOST, by_everybody=MOST)
    protocol = type("Few", (request.param,), {"table": table})
    with Door(protocol) as door:
        yield door


def is_closed(held: socket.socket) -> bool:
    """The server ended it, whatever it said before; waits for that."""
    with contextlib.suppress(ConnectionResetError):
        while held.recv(4096):
            pass
    return True


def is_closed_while_it_sends(held: socket.socket) -> bool:
    end = time.monotonic() + WAIT_SECONDS
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < end:
            held.sendall(b"x" * 65_536)
        return False
    return True


def answered(held: socket.socket) -> bool:
    said = b""
    while not said.endswith(b"ok") and (more := held.recv(4096)):
        said += more
    return said.startswith(b"HTTP/1.1 200")


def test_who_asks_is_served_however_many_say_nothing(door: Door) -> None:
    with contextlib.ExitStack() as open_ones:
        halves = [open_ones.enter_context(door.connect(HALF)) for _ in range(5 * MOST)]
        right = open_ones.enter_context(door.connect(REQUEST))

        assert answered(right)
        assert is_closed(halves[0])


def test_an_answer_in_progress_is_not_ended_to_make_room(door: Door) -> None:
    slow = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with contextlib.ExitStack() as open_ones:
        busy = [open_ones.enter_context(door.connect(slow)) for _ in range(MOST)]
        for _ in busy:
            assert door.entered.acquire(timeout=WAIT_SECONDS)

        assert is_closed(open_ones.enter_context(door.connect()))
        door.go_on.set()
        assert all(answered(one) for one in busy)


def test_a_header_that_does_not_come_ends_its_connection_and_an_idle_one_stays(door: Door) -> None:
    with door.connect(REQUEST) as idle, door.connect() as silent, door.connect(HALF) as half:
        assert answered(idle)

        assert is_closed(half)
        assert is_closed(silent)
        idle.sendall(REQUEST)
        assert answered(idle)


def test_the_next_header_of_a_kept_connection_has_a_deadline_too(door: Door) -> None:
    with door.connect(REQUEST) as kept:
        assert answered(kept)

        kept.sendall(HALF)
        assert is_closed(kept)


def test_a_header_without_end_ends_its_connection(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 600.0)
    with door.connect(b"GET / HTTP/1.1\r\nHost: localhost\r\n") as endless:
        with contextlib.suppress(ConnectionError):
            for _ in range(MANY_LINES):
                endless.sendall(b"X-More: " + b"a" * 2000 + b"\r\n")
        assert is_closed(endless)


def by_requests(url: str, body: Path) -> tuple[int, str]:
    with body.open("rb") as data:
        answer = requests.post(url, data=data, timeout=WAIT_SECONDS)
    return answer.status_code, answer.text


def by_urllib(url: str, body: Path) -> tuple[int, str]:
    asked = urllib.request.Request(url, data=body.read_bytes())
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked, timeout=WAIT_SECONDS)
    return refused.value.code, refused.value.read().decode()


def by_curl(url: str, body: Path) -> tuple[int, str]:
    # Without the header curl would wait for a word of the server before its body.
    command = ["curl", "-sS", "-H", "Expect:", "-T", str(body), "-X", "POST", "-w", " %{http_code}"]
    said = subprocess.run(
        [*command, url], capture_output=True, text=True, timeout=WAIT_SECONDS, check=True
    )
    text, status = said.stdout.split()
    return int(status), text


@pytest.mark.parametrize("path", ["/close", "/keep"])
@pytest.mark.parametrize("client", [by_requests, by_urllib, by_curl])
def test_an_ordinary_client_sees_the_refusal_of_a_body_that_is_not_read(
    door: Door, tmp_path: Path, client: Callable[[str, Path], tuple[int, str]], path: str
) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"x" * LARGE_BYTES)

    assert client(door.url + path, body) == (413, "ok")


@pytest.mark.parametrize("bound", [("UNREAD_BYTES", LARGE_BYTES), ("UNREAD_SECONDS", 0.2)])
@pytest.mark.parametrize("path", [b"close", b"keep"])
def test_a_refused_body_without_end_ends_its_connection(
    door: Door, monkeypatch: pytest.MonkeyPatch, path: bytes, bound: tuple[str, float]
) -> None:
    monkeypatch.setattr(connections, *bound)
    with door.connect(ENDLESS % path) as endless:
        assert is_closed_while_it_sends(endless)


def test_the_end_of_a_refusal_is_not_held_back(door: Door) -> None:
    with door.connect(ENDLESS % b"close" + b"x") as refused:
        assert is_closed(refused)


class ClosedTransport:
    """As asyncio's: it takes nothing after the end, and tells no end to a peer that is gone."""

    def __init__(self, *, peer_is_gone: bool) -> None:
        self.peer_is_gone = peer_is_gone
        self.aborted = self.ended = False
        self.written = b""

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self.peer_is_gone:
            raise OSError("Transport endpoint is not connected")
        self.ended = True

    def write(self, data: bytes) -> None:
        if self.ended:
            raise RuntimeError("Cannot call write() after write_eof()")
        self.written += data

    def resume_reading(self) -> None: ...

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize("peer_is_gone", [True, False])
def test_a_refused_connection_ends_quietly_whoever_is_gone_or_still_answers(
    peer_is_gone: bool,
) -> None:
    transport: Any = ClosedTransport(peer_is_gone=peer_is_gone)
    connection: Any = SimpleNamespace(receives_body=True)
    lingering = connections._Lingering(transport, connection)
    lingering.write(b"no")

    lingering.close()
    lingering.write(b"the answer to a request before it")

    assert transport.aborted == peer_is_gone
    assert transport.ended != peer_is_gone
    assert lingering.lingers == transport.ended
    assert transport.written.startswith(b"no")
