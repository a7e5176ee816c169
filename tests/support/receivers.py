"""Receivers of webhooks, good and bad, on real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

LONGEST_SECONDS = 30.0
Answer = Callable[[socket.socket, threading.Event], None]


@dataclass
class Receiver:
    """``requests``: (headers by lower-case name, body) of what came whole."""

    port: int
    answer: Answer
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?from=kos"

    def handle(self, connection: socket.socket) -> None:
        connection.settimeout(LONGEST_SECONDS)
        with connection, suppress(OSError, ValueError):
            self.requests.append(_read(connection))
            self.answer(connection, self.closing)


def saying(status: str, *more: str) -> Answer:
    """One whole answer with that status line and those headers."""
    text = "\r\n".join([f"HTTP/1.1 {status}", *more, "Content-Length: 2", "", "ok"])
    return lambda connection, closing: connection.sendall(text.encode())


def endless_body(connection: socket.socket, closing: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while not closing.is_set():
        connection.sendall(b"x" * 65_536)


def slow_header(connection: socket.socket, closing: threading.Event) -> None:
    for sign in b"HTTP/1.1 200 " + b"O" * 1000:
        connection.sendall(bytes([sign]))
        if closing.wait(0.05):
            return


def silent(connection: socket.socket, closing: threading.Event) -> None:
    closing.wait(LONGEST_SECONDS)


def endless_line(connection: socket.socket, closing: threading.Event) -> None:
    while not closing.is_set():
        connection.sendall(b"x" * 65_536)


def hanging_up(connection: socket.socket, closing: threading.Event) -> None:
    return


@contextmanager
def receiver(answer: Answer) -> Iterator[Receiver]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Receiver(server.getsockname()[1], answer)
        server.settimeout(0.05)

        def serve() -> None:
            while not made.closing.is_set():
                with suppress(TimeoutError):
                    connection, _ = server.accept()
                    threading.Thread(target=made.handle, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield made
        finally:
            made.closing.set()
            thread.join(LONGEST_SECONDS)


def _read(connection: socket.socket) -> tuple[dict[str, str], bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65_536)
    return headers, body
