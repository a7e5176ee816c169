"""Where this machine reaches what we listen at."""

from __future__ import annotations

import socket

from jobs.settings.load import Settings

EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""The dashboard listens at either kind of address, never at both."""

CONNECT_SECONDS = 2.0

Address = tuple[str, int]


def dashboard_address(settings: Settings) -> Address:
    return _address(settings.dashboard_host, settings.dashboard_port)


def gateway_address(settings: Settings) -> Address:
    return _address(settings.gateway_host, settings.gateway_port)


def dashboard_url(settings: Settings) -> str:
    return _url(dashboard_address(settings))


def gateway_url(settings: Settings) -> str:
    return _url(gateway_address(settings))


def accepts(address: Address) -> bool:
    """Whether somebody takes a connection there."""
    try:
        socket.create_connection(address, timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _address(host: str, port: int) -> Address:
    return EVERY_INTERFACE.get(host, host), port


def _url(address: Address) -> str:
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
