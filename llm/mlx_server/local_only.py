"""Refuses what web pages send, while the server is bound to this machine alone.

A page can let its own name lead to 127.0.0.1 (DNS rebinding) or post a form to it; its browser
tells so in ``Host`` and ``Origin``. Programs name this machine, and no origin.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from llm.mlx_server.errors import Forbidden
from llm.mlx_server.responses import error_response

# Endings that no public DNS serves; a container calls this machine host.docker.internal.
_PRIVATE_ENDINGS = (".localhost", ".internal")
_SITES = frozenset({"http", "https", "null", ""})


def is_loopback(host: str) -> bool:
    """Whether ``host``, a name or an address, is this machine and nothing else."""
    address = _address(host)
    if address is not None:
        return address.is_loopback
    return host == "localhost" or host.endswith(".localhost")


def check(*, host: str | None, origin: str | None, own: frozenset[str]) -> None:
    """Raises Forbidden for the headers of a web page; ``own`` are further names of this machine."""
    if host is not None and not _names_us(_host_name(f"//{host}"), own):
        raise Forbidden(f"host {host!r} is not served: this server is for this machine only")
    if origin is not None and _is_other_site(origin, own):
        raise Forbidden(f"origin {origin!r} is another site: this server is for this machine only")


class LocalOnly:
    """Lets requests to ``app`` through unless a web page sent them."""

    def __init__(self, app: ASGIApp, *, bound_to: str) -> None:
        self._app = app
        self._own = frozenset({bound_to.casefold(), socket.gethostname().casefold()})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            try:
                check(host=headers.get("host"), origin=headers.get("origin"), own=self._own)
            except Forbidden as error:
                app = error_response(error, path=scope["path"])
        await app(scope, receive, send)


def _names_us(name: str | None, own: frozenset[str]) -> bool:
    """An address cannot be rebound, nor a name without a dot: neither is looked up in public."""
    if name is None:
        return False
    plain = "." not in name or _address(name) is not None
    return plain or name in own or name.endswith(_PRIVATE_ENDINGS)


def _is_other_site(origin: str, own: frozenset[str]) -> bool:
    """``null`` is a page that hides its site; schemes such as ``app`` belong to no site."""
    if origin.partition(":")[0].casefold() not in _SITES:
        return False
    name = _host_name(origin)
    return name is None or not (is_loopback(name) or name in own)


def _host_name(url: str) -> str | None:
    """``localhost`` of ``//localhost:11435``; None for what is no host."""
    try:
        name = urlsplit(url).hostname
    except ValueError:
        return None
    return name.casefold().removesuffix(".") if name else None


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
