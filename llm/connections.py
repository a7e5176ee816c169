"""Limits on the connections of an HTTP server under uvicorn, which has no such limits.

They bound connections per address and in all, the size and duration of a header, and what is read
of a body that was answered before its end. Without them a client with thousands of silent
connections would exhaust the file descriptors.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    _Protocol = H11Protocol
else:
    _Protocol = object

BY_ADDRESS = 64
BY_EVERYBODY = 512
PROGRAMS_BY_ADDRESS = 512
"""For servers that programs call: one address may stream many answers at once."""
PROGRAMS_BY_EVERYBODY = 768
"""Below the 1,024 file descriptors that many systems give a process."""
HEADER_SECONDS = 10.0
HEADER_BYTES = 64 * 1024
UNREAD_SECONDS = 30.0
UNREAD_BYTES = 1024 * 1024 * 1024
"""Bounds of what is read and dropped of a body after its request was answered. Most clients read
the answer only when they have sent all of their body."""


class ConnectionTable:
    """Open connections by address, the oldest first."""

    def __init__(self, *, by_address: int = BY_ADDRESS, by_everybody: int = BY_EVERYBODY) -> None:
        self._by_address = by_address
        self._by_everybody = by_everybody
        self._open: dict[str, dict[_Bounded, None]] = defaultdict(dict)
        self._count = 0

    def add(self, address: str, connection: _Bounded) -> bool:
        """Register ``connection``; False if it must be refused. When the table is full, the oldest
        connection that waits for its client is closed."""
        mine = self._open[address]
        if len(mine) >= self._by_address and not self._make_room(mine):
            return False
        if self._count >= self._by_everybody:
            largest = max(self._open.values(), key=len)
            if not self._make_room(largest):
                return False
        self._open[address][connection] = None
        self._count += 1
        return True

    def remove(self, address: str, connection: _Bounded) -> None:
        mine = self._open.get(address, {})
        if connection in mine:
            del mine[connection]
            self._count -= 1
        if not mine:
            self._open.pop(address, None)

    def _make_room(self, connections: Iterable[_Bounded]) -> bool:
        oldest = next((one for one in connections if one.waits_for_client), None)
        if oldest is None:
            return False
        oldest.abort()
        return True


class _Lingering:
    """A transport whose ``close`` ends the answer at once, and the connection when the client has
    sent its body or the bounds are reached.

    Closed with unread bytes, a socket sends a reset, on which the client drops the answer unread.
    """

    def __init__(self, transport: asyncio.Transport, connection: _Bounded) -> None:
        self._transport = transport
        self._connection = connection
        self.lingers = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self.lingers or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """What another answer sends after the end is dropped, as after ``close`` of a transport."""
        if not self.lingers:
            self._transport.write(data)

    def close(self) -> None:
        """A second call closes the connection in any case."""
        if self.is_closing() or not self._connection.receives_body:
            self._transport.close()
            return
        try:
            if self._transport.can_write_eof():
                self._transport.write_eof()
        except OSError:  # The peer has reset the connection already.
            self._transport.abort()
            return
        self.lingers = True
        self._transport.resume_reading()


class _Bounded(_Protocol):
    """A counted connection. It is closed when its header does not arrive in time, or when too much
    of a body comes after the answer. An idle connection after an answer is closed by uvicorn's
    keep-alive instead."""

    table: ConnectionTable

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = self._lingering = _Lingering(transport, self)  # type: ignore[assignment]
        self._unread_since: float | None = None
        self._unread_bytes = 0
        self._address = self.client[0] if self.client else "?"
        self._header_bytes = 0
        self._header_since: float | None = self.loop.time()
        self._check: asyncio.TimerHandle | None = None
        if self.table.add(self._address, self):
            self._check_later()
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._unread_since is not None:
            self._unread_bytes += len(data)
            if self._unread_bytes > UNREAD_BYTES:
                self.abort()
                return
        if self._lingering.lingers:
            return
        before: Any = self.cycle
        super().data_received(data)
        now: Any = self.cycle
        if now is not before:
            self._unread_since, self._unread_bytes = None, 0
        in_progress = now is not None and (now.more_body or not now.response_complete)
        if now is not before or in_progress:
            self._header_since, self._header_bytes = None, 0
            return
        if self._header_since is None:
            self._header_since = self.loop.time()
        self._header_bytes += len(data)
        if self._header_bytes > HEADER_BYTES:
            self.abort()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.receives_body:
            self._unread_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    @property
    def receives_body(self) -> bool:
        """Whether the end of the body of the last request has not arrived."""
        cycle: Any = self.cycle
        return cycle is not None and bool(cycle.more_body)

    @property
    def waits_for_client(self) -> bool:
        """True while no request is processed: its header or body is incomplete."""
        cycle: Any = self.cycle
        return cycle is None or bool(cycle.response_complete or cycle.more_body)

    def abort(self) -> None:
        """Close the connection at once and free its place."""
        self._forget()
        self.transport.abort()

    def _forget(self) -> None:
        self.table.remove(self._address, self)
        if self._check is not None:
            self._check.cancel()

    def _check_later(self) -> None:
        self._check = self.loop.call_later(HEADER_SECONDS / 4, self._close_if_late)

    def _close_if_late(self) -> None:
        """Close it if its header is overdue, or its body after the answer. Before, the body has a
        deadline of its own, set by its reader."""
        if self._is_late(self._header_since, HEADER_SECONDS) or self._is_late(
            self._unread_since, UNREAD_SECONDS
        ):
            self.abort()
        else:
            self._check_later()

    def _is_late(self, since: float | None, seconds: float) -> bool:
        return since is not None and self.loop.time() - since >= seconds


class BoundedPages(_Bounded, H11Protocol):
    """For a server that browsers use."""

    table = ConnectionTable()


class BoundedCalls(_Bounded, HttpToolsProtocol):  # type: ignore[misc]
    """For a server that programs use: a faster parser, and more connections per address."""

    table = ConnectionTable(by_address=PROGRAMS_BY_ADDRESS, by_everybody=PROGRAMS_BY_EVERYBODY)
