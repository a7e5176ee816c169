"""Connections that know which call they serve, so that its watch can end it at any moment."""

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
    """What this thread opens or takes from the pool inside serves ``watch``'s call. A TLS
    handshake is to be over within ``connect_seconds``."""
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
        """urllib3 leaves this to the garbage collector, which an exception kept alive holds up."""
        for key in self.poolmanager.pools.keys():  # noqa: SIM118 - it is no mapping that iterates
            pool = self.poolmanager.pools.get(key)
            if pool is not None:
                pool.close()
        super().close()


class _WatchedHTTPConnection(HTTPConnection):
    """Tells the call that uses it which socket to shut."""

    watch: CallWatch | None = None
    _is_new = False

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(SEND_SECONDS)
        self._is_new = True
        _calling.watch.attach(self, reused=False)

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            self.timeout = SEND_SECONDS  # until now the connecting's; urllib3 sets it on the socket
            _calling.watch.attach(self, reused=not self._is_new)
        super().request(*args, **kwargs)
        self._is_new = False


class _WatchedHTTPSConnection(_WatchedHTTPConnection, HTTPSConnection):
    """The same over TLS, from the handshake on."""

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
    """A second handle of the socket, to shut it by: TLS takes the first one over, and gives none
    back before it is agreed on."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock.dup()
        self.watch = None

    def close(self) -> None:
        self.sock.close()


class _WatchedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTPConnection


class _WatchedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPSConnection
