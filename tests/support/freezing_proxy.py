"""A TCP proxy that can go silent: it keeps sockets open, acknowledges, and passes nothing on.

That is what a frozen host, a stateful firewall that forgot a connection, or a stopped server looks
like from a client: no reset and no end, for ever.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65_536
POLL_SECONDS = 0.1


@dataclass
class FreezingProxy:
    """Passes bytes between its own port and ``target``, until a test freezes it."""

    target: tuple[str, int]
    _listener: socket.socket = field(default_factory=socket.socket)
    _frozen: set[int] = field(default_factory=set)
    _open: set[int] = field(default_factory=set)
    _all_frozen: threading.Event = field(default_factory=threading.Event)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _numbers: int = 0

    def start(self) -> None:
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(256)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def connections(self) -> int:
        return len(self._open)

    def freeze_open_connections(self) -> None:
        """Every connection of now goes silent for ever; new ones work."""
        self._frozen |= set(self._open)

    def freeze(self) -> None:
        """Everything goes silent, new connections too, until :meth:`thaw`."""
        self._all_frozen.set()

    def thaw(self) -> None:
        self._all_frozen.clear()

    def stop(self) -> None:
        self._stopping.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._numbers += 1
            number = self._numbers
            self._open.add(number)
            threading.Thread(target=self._serve, args=(client, number), daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        try:
            with client, socket.create_connection(self.target) as server:
                self._pass_bytes(client, server, number)
        except OSError:
            return
        finally:
            self._open.discard(number)

    def _pass_bytes(self, client: socket.socket, server: socket.socket, number: int) -> None:
        other = {client: server, server: client}
        while not self._stopping.is_set():
            if self._all_frozen.is_set() or number in self._frozen:
                self._stopping.wait(POLL_SECONDS)
                continue
            readable, _, _ = select.select(list(other), [], [], POLL_SECONDS)
            for source in readable:
                data = source.recv(CHUNK)
                if not data:
                    return
                # What arrived as the proxy froze is swallowed: a cut takes what is under way.
                if not (self._all_frozen.is_set() or number in self._frozen):
                    other[source].sendall(data)


@contextmanager
def freezing_proxy(url: str) -> Iterator[tuple[FreezingProxy, str]]:
    """(proxy, ``url`` through it)."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    proxy = FreezingProxy((parts.hostname, parts.port))
    proxy.start()
    account = parts.netloc.rpartition("@")[0]
    host = f"127.0.0.1:{proxy.port}"
    through = parts._replace(netloc=f"{account}@{host}" if account else host)
    try:
        yield proxy, urlunsplit(through)
    finally:
        with suppress(OSError):
            proxy.stop()
