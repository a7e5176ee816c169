"""``/healthz`` and ``/metrics`` of the health checker, on loopback."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from jobs.process.http_origins import LOOPBACK, host_name
from jobs.upkeep.health.checks import HealthCheck

REQUEST_SECONDS = 5.0
"""The limit for a whole request, not only for each read."""
CONNECTIONS = 32
"""All requests come from loopback, so this also bounds one address."""

LatestChecks = Callable[[], Sequence[HealthCheck]]


def serve(host: str, port: int, latest: LatestChecks) -> ThreadingHTTPServer:
    """Serve in a thread of its own; port 0 takes a free one. ``shutdown`` ends it."""

    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_SECONDS

        def do_GET(self) -> None:
            checks = latest()
            if host_name(self.headers.get("Host", "")) not in LOOPBACK:
                # A page whose host name was pointed at this machine (DNS rebinding) must read
                # nothing.
                self._send(421, "this host name is not served here\n", "text/plain")
            elif self.path == "/healthz":
                self._send(*_healthz(checks), "application/json")
            elif self.path == "/metrics":
                self._send(200, _metrics(checks), "text/plain; version=0.0.4")
            else:
                self._send(404, "look at /healthz or /metrics\n", "text/plain")

        def _send(self, status: int, body: str, content_type: str) -> None:
            data = body.encode()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Scrapes are not logged."""

    server = _BoundedServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, name="healthz", daemon=True).start()
    return server


class _BoundedServer(ThreadingHTTPServer):
    """A thread for each of a few connections; a new one closes the oldest."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: dict[socket.socket, float] = {}
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        while len(self._open) >= CONNECTIONS:
            self._end(next(iter(self._open)))
        self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called between connections, at least twice a second."""
        late = time.monotonic() - REQUEST_SECONDS
        for connection, since in list(self._open.items()):
            if since < late:
                self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        """Shut the connection down, which wakes its reading thread; that thread closes it."""
        self._open.pop(connection, None)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def _healthz(checks: Sequence[HealthCheck]) -> tuple[int, str]:
    red = [check for check in checks if not check.ok]
    status = "starting" if not checks else "red" if red else "green"
    document = {"status": status, "checks": [asdict(check) for check in checks]}
    return (200 if status == "green" else 503), json.dumps(document, ensure_ascii=False) + "\n"


def _metrics(checks: Sequence[HealthCheck]) -> str:
    lines = [
        "# HELP kos_check_up Whether a health check is green.",
        "# TYPE kos_check_up gauge",
        *(f'kos_check_up{{check="{check.name}"}} {int(check.ok)}' for check in checks),
    ]
    return "\n".join(lines) + "\n"
