"""Where this machine reaches what we listen at."""

from __future__ import annotations

import socket

from jobs.settings.load import Settings

EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""The dashboard listens at either kind of address, never at both."""

CONNECT_SECONDS = 2.0

Address = tuple[str, int]


def dashboard_address(settings: Settings) -> Address:
    host = settings.dashboard_host
    return EVERY_INTERFACE.get(host, host), settings.dashboard_port


def dashboard_url(settings: Settings) -> str:
    host, port = dashboard_address(settings)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def accepts(address: Address) -> bool:
    """Whether somebody takes a connection there."""
    try:
        socket.create_connection(address, timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
