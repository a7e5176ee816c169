"""Bounds on a request's header: its size and its time. uvicorn with httptools has neither."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADER_BYTES = 64 * 1024
HEADER_SECONDS = 10.0


class BoundedProtocol(HttpToolsProtocol):
    """Ends a connection whose header is too long or too slow; the body has its own bounds."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._header_bytes = 0
        self._late: asyncio.TimerHandle | None = None
        self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        self._header_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._header_bytes += len(data)
        super().data_received(data)
        if self._late is not None and self._header_bytes > MAX_HEADER_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        self._await_header()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._header_came()
        super().on_headers_complete()

    def _await_header(self) -> None:
        if self._late is None:
            self._header_bytes = 0
            self._late = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _header_came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
