"""A connection to supervisord's private socket, with the time limit that its own transport
lacks."""

from __future__ import annotations

import http.client
import socket
import xmlrpc.client
from pathlib import Path
from typing import Any

CALL_TIMEOUT_SECONDS = 15.0


class UnixTransport(xmlrpc.client.Transport):
    """Each step of a call takes at most ``seconds``."""

    def __init__(self, socket_path: Path, *, seconds: float | None = None) -> None:
        super().__init__()
        self._socket_path = socket_path
        self._seconds = CALL_TIMEOUT_SECONDS if seconds is None else seconds
        self._kept: _UnixConnection | None = None

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        if self._kept is None:
            self._kept = _UnixConnection(self._socket_path, self._seconds)
        return self._kept

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, socket_path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._socket_path = socket_path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._socket_path))
