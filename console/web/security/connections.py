"""Bounds on connections: their number per address and in total, and the time for a header.

uvicorn has no such bounds. A client with thousands of silent connections would exhaust the file
descriptors.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

BY_ADDRESS = 64
BY_EVERYBODY = 512
HEADER_SECONDS = 10.0


class ConnectionTable:
    """Open connections by address, the oldest first."""

    def __init__(self, *, by_address: int = BY_ADDRESS, by_everybody: int = BY_EVERYBODY) -> None:
        self._by_address = by_address
        self._by_everybody = by_everybody
        self._open: dict[str, dict[BoundedProtocol, None]] = defaultdict(dict)
        self._count = 0

    def add(self, address: str, connection: BoundedProtocol) -> bool:
        """Whether ``connection`` may stay. The oldest that waits for its client makes room."""
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

    def remove(self, address: str, connection: BoundedProtocol) -> None:
        mine = self._open.get(address, {})
        if connection in mine:
            del mine[connection]
            self._count -= 1
        if not mine:
            self._open.pop(address, None)

    def _make_room(self, connections: Iterable[BoundedProtocol]) -> bool:
        oldest = next((one for one in connections if one.waits_for_client), None)
        if oldest is None:
            return False
        oldest.abort()
        return True


class BoundedProtocol(H11Protocol):
    """A connection that is counted, and that ends when its next header does not come in time."""

    table = ConnectionTable()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else "?"
        self._answered: Any = None
        self._waited = 0.0
        self._look: asyncio.TimerHandle | None = None
        if self.table.add(self._address, self):
            self._look_later()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    @property
    def waits_for_client(self) -> bool:
        """No request is being answered: its header or its body has not come whole."""
        cycle: Any = self.cycle
        return cycle is None or bool(cycle.response_complete or cycle.more_body)

    def abort(self) -> None:
        """End it at once; its place is free for the next."""
        self._forget()
        self.transport.abort()

    def _forget(self) -> None:
        self.table.remove(self._address, self)
        if self._look is not None:
            self._look.cancel()

    def _look_later(self) -> None:
        self._look = self.loop.call_later(HEADER_SECONDS / 4, self._end_what_waits)

    def _end_what_waits(self) -> None:
        """The body has a deadline of its own: here a header counts, also that of a next request."""
        cycle: Any = self.cycle
        header_is_here = cycle is not None and not cycle.response_complete
        if header_is_here or cycle is not self._answered:
            self._answered, self._waited = cycle, 0.0
        else:
            self._waited += HEADER_SECONDS / 4
        if self._waited >= HEADER_SECONDS:
            self.abort()
        else:
            self._look_later()
