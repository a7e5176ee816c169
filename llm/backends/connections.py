"""Connections that know their call, so that its watch can close them at any moment."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError

from llm.watch import CallWatch, Interruptible

SEND_SECONDS = 30.0
MIN_HANDSHAKE_SECONDS = 0.05

_calling = threading.local()


@contextmanager
def serving(watch: CallWatch, *, connect_seconds: float) -> Iterator[None]:
    """Inside this block, every connection that this thread opens or reuses belongs to ``watch``.

    A TLS handshake must finish within ``connect_seconds``.
    """
    _calling.watch = watch
    _calling.connect_until = time.monotonic() + connect_seconds
    try:
        yield
    finally:
        _calling.watch = None


class WatchedAdapter(HTTPAdapter):
    """For `requests.Session.mount`; its connections are used inside `serving` only."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _WatchedHTTPPool,
            "https": _WatchedHTTPSPool,
        }

    def close(self) -> None:
        """Close idle connections now. urllib3 leaves this to the garbage collector, which a stored
        exception delays."""
        for key in self.poolmanager.pools.keys():  # noqa: SIM118 - it is no mapping that iterates
            pool = self.poolmanager.pools.get(key)
            if pool is not None:
                pool.close()
        super().close()


class _WatchedHTTPConnection(HTTPConnection):
    """Registers its socket with the call that uses it."""

    watch: CallWatch | None = None
    _is_new = False

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(SEND_SECONDS)
        self._is_new = True
        _calling.watch.attach(self, reused=False)

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            self.timeout = SEND_SECONDS  # was the connect timeout; urllib3 applies it
            _calling.watch.attach(self, reused=not self._is_new)
        super().request(*args, **kwargs)
        self._is_new = False


class _WatchedHTTPSConnection(_WatchedHTTPConnection, HTTPSConnection):
    """The same for TLS, from the handshake on."""

    _handshake: _Handshake | None = None

    def connect(self) -> None:
        try:
            super().connect()
        except TimeoutError as exc:
            raise ConnectTimeoutError(self, f"no TLS handshake with {self.host} in time") from exc
        finally:
            if self._handshake is not None:
                self._handshake.close()

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self._handshake = _Handshake(sock)
        try:
            sock.settimeout(max(_calling.connect_until - time.monotonic(), MIN_HANDSHAKE_SECONDS))
            _calling.watch.attach(self._handshake, reused=False)
        except BaseException:
            sock.close()
            raise
        return sock


class _Handshake(Interruptible):
    """A duplicate handle of the socket, so that a handshake can be interrupted. The TLS layer takes
    over the original and returns a handle only after the handshake."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock.dup()
        self.watch = None

    def close(self) -> None:
        self.sock.close()


class _WatchedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTPConnection


class _WatchedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPSConnection
