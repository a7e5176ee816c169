"""The listening socket, which can refuse connections for a while and listen again on the same
port."""

from __future__ import annotations

import asyncio
import socket

from llm.simulator.http_connection import Connection, Handler

BACKLOG = 4096
_REOPEN_STEP_SECONDS = 0.02


class Listener:
    """Accepts connections for `handler`. IPv6 hosts work as well."""

    def __init__(self, handler: Handler, *, host: str, port: int) -> None:
        self._handler = handler
        self._host = host
        self._port = port
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._reopening: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def open(self) -> None:
        """Listen; raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._server = await loop.create_server(
            lambda: Connection(self._handler, open_connections=self._connections),
            self._host,
            self._port,
            family=family,
            backlog=BACKLOG,
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._reopening is not None:
            self._reopening.cancel()
        self._close_all()
        await asyncio.sleep(0)

    def refuse(self, seconds: float, *, spare: Connection) -> None:
        """Close the port and all connections, and listen again after `seconds`. `spare` stays open,
        so that the client that caused this gets its answer."""
        if self._reopening is not None:
            self._reopening.cancel()
        self._close_all(spare=spare)
        self._reopening = asyncio.get_running_loop().create_task(self._reopen(seconds))

    def _close_all(self, *, spare: Connection | None = None) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self._connections - {spare}:
            connection.reset()

    async def _reopen(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        while True:
            try:
                await self.open()
            except OSError:  # another program has taken the port for a moment
                await asyncio.sleep(_REOPEN_STEP_SECONDS)
            else:
                return
