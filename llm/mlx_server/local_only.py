"""Rejects requests from web pages while the server is bound to the loopback interface.

A page can make its own host name resolve to 127.0.0.1 (DNS rebinding) or post a form to it. Its
browser then sends the page's name in ``Host`` or ``Origin``. Programs send the name of this machine
and no origin.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from llm.mlx_server.errors import Forbidden
from llm.mlx_server.responses import error_response

# Suffixes that no public DNS resolves; a container calls this machine host.docker.internal.
_PRIVATE_ENDINGS = (".localhost", ".internal")
_SITES = frozenset({"http", "https", "null", ""})


def is_loopback(host: str) -> bool:
    """Whether ``host``, a name or an address, is the loopback interface."""
    address = _address(host)
    if address is not None:
        return address.is_loopback
    return host == "localhost" or host.endswith(".localhost")


def check(*, host: str | None, origin: str | None, own: frozenset[str]) -> None:
    """Raise Forbidden for the headers of a web page. ``own`` are further names of this machine."""
    if host is not None and not _is_our_name(_host_name(f"//{host}"), own):
        raise Forbidden(f"host {host!r} is not served: this server is for this machine only")
    if origin is not None and _is_other_site(origin, own):
        raise Forbidden(f"origin {origin!r} is another site: this server is for this machine only")


class LocalOnly:
    """Passes requests to ``app`` unless a web page sent them."""

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


def _is_our_name(name: str | None, own: frozenset[str]) -> bool:
    """An address or a name without a dot is safe: public DNS can rebind neither."""
    if name is None:
        return False
    plain = "." not in name or _address(name) is not None
    return plain or name in own or name.endswith(_PRIVATE_ENDINGS)


def _is_other_site(origin: str, own: frozenset[str]) -> bool:
    """True for a page of another site. ``null`` is a page that hides its site; schemes such as
    ``app`` belong to none."""
    if origin.partition(":")[0].casefold() not in _SITES:
        return False
    name = _host_name(origin)
    return name is None or not (is_loopback(name) or name in own)


def _host_name(url: str) -> str | None:
    """``localhost`` of ``//localhost:11435``; None if there is no host."""
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
