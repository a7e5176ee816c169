"""One client's connection: requests in, answers out, and the faults of a socket.

Built on `asyncio.Protocol` instead of a framework, because a simulator must break the protocol on
purpose: reset a connection, stop in the middle of a line, send invalid bytes.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import cast

from llm.simulator.http_request import BadRequestError, HttpRequest, RequestReader

JSON_TYPE = "application/json; charset=utf-8"
_LINGER_NONE = struct.pack("ii", 1, 0)
_READ_AHEAD_BYTES = 1024 * 1024

Headers = Iterable[tuple[str, str]]


class HttpExchange:
    """One request and its response. Everything sent is buffered until `flush` or `end`."""

    __slots__ = ("_chunked", "_out", "connection", "ended", "received_at", "request", "started")

    def __init__(self, connection: Connection, request: HttpRequest, received_at: float) -> None:
        self.request = request
        self.received_at = received_at
        self.started = False
        self.ended = False
        self.connection = connection
        self._chunked = request.may_chunk
        self._out: list[bytes] = []

    def respond(
        self, status: int, body: bytes, *, content_type: str = JSON_TYPE, headers: Headers = ()
    ) -> None:
        """Send a whole response."""
        length = ("Content-Length", str(len(body)))
        head = _head(status, content_type, (length, *headers), self.request.keep_alive)
        self.started = self.ended = True
        self.connection.write(head + (b"" if self.request.method == "HEAD" else body))

    def start(self, content_type: str, *, status: int = 200, headers: Headers = ()) -> None:
        """Begin a stream, chunked where the client's HTTP version can."""
        if self._chunked:
            headers = (("Transfer-Encoding", "chunked"), *headers)
        else:
            self.request.keep_alive = False
        self.started = True
        self._out.append(_head(status, content_type, headers, self.request.keep_alive))

    def send(self, data: bytes) -> None:
        """Add a piece to the stream."""
        if not data:  # An empty chunk would end the stream.
            return
        self._out.append(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def flush(self) -> None:
        """Write the buffer, and wait while the client does not read."""
        if self._out:
            self.connection.write(b"".join(self._out))
            self._out.clear()
        if self.connection.is_congested:
            await self.connection.drained()

    async def fragment(self, size_bytes: int) -> None:
        """Write the buffer in fragments of a few bytes, each a packet of its own."""
        data = b"".join(self._out)
        self._out.clear()
        for start in range(0, len(data), size_bytes):
            self.connection.write(data[start : start + size_bytes])
            await asyncio.sleep(0)

    def end(self) -> None:
        """Finish the stream."""
        if self._chunked:
            self._out.append(b"0\r\n\r\n")
        self.connection.write(b"".join(self._out))
        self._out.clear()
        self.ended = True

    def drop(self) -> None:
        """Close the connection with the stream unfinished."""
        self.connection.write(b"".join(self._out))
        self._out.clear()
        self.ended = True
        self.request.keep_alive = False

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        self.ended = True
        self.connection.reset()


Handler = Callable[[HttpExchange], Awaitable[None]]


class Connection(asyncio.Protocol):
    """Runs `handler` for each request of one client, one at a time; cancels it when the client
    disconnects."""

    def __init__(self, handler: Handler, *, open_connections: set[Connection]) -> None:
        self._handler = handler
        self._open = open_connections
        self._reader = RequestReader()
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._drained: asyncio.Future[None] | None = None
        self._first_byte_at = 0.0
        self._is_leaving = False
        self.is_congested = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)

    def data_received(self, data: bytes) -> None:
        if self._reader.is_empty:
            self._first_byte_at = time.time()
        self._reader.feed(data)
        if self._task is None:
            self._advance()
        elif self._reader.buffered_bytes > _READ_AHEAD_BYTES and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        # A client closed its side. Like Go's server, cancel its request.
        self._leave()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        self._leave()
        self._transport = None

    def pause_writing(self) -> None:
        self.is_congested = True

    def resume_writing(self) -> None:
        self.is_congested = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    async def drained(self) -> None:
        """Wait until the client has read enough."""
        while self.is_congested:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    def write(self, data: bytes) -> None:
        """Send bytes; does nothing when the client has disconnected."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Close after the buffer has been sent."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Close with a TCP reset; unsent data is lost."""
        if self._transport is None:
            return
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        self._transport.abort()

    def _leave(self) -> None:
        self._is_leaving = True
        if self._task is not None:
            self._task.cancel()
        if self._drained is not None and not self._drained.done():
            self._drained.cancel()

    def _advance(self) -> None:
        try:
            request = self._reader.next()
        except BadRequestError as bad:
            self.write(_head(bad.status, "text/plain", (), keep_alive=False) + str(bad).encode())
            self.close()
            return
        if request is None:
            if self._reader.wants_continue:
                self._reader.wants_continue = False
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        exchange = HttpExchange(self, request, self._first_byte_at)
        self._task = asyncio.get_running_loop().create_task(self._serve(exchange))

    async def _serve(self, exchange: HttpExchange) -> None:
        try:
            await self._handler(exchange)
        except asyncio.CancelledError:
            if not self._is_leaving:
                raise
            return
        except BaseException:
            self.reset()
            raise
        self._task = None
        if not exchange.request.keep_alive or not exchange.ended:
            self.close()
        elif self._transport is not None and not self._is_leaving:
            self._transport.resume_reading()
            self._first_byte_at = time.time()
            self._advance()


def _head(status: int, content_type: str, headers: Headers, keep_alive: bool) -> bytes:
    lines = [f"HTTP/1.1 {status} {_phrase(status)}", f"Content-Type: {content_type}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if not keep_alive:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
