"""Which Host and Origin headers are accepted: the protection against DNS rebinding and cross-site
forms."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def allowed_hosts(listening_on: str, further: Iterable[str]) -> frozenset[str] | None:
    """Host names that are accepted; None accepts any, because a public address is protected by a
    token."""
    if listening_on not in LOOPBACK:
        return None
    return LOOPBACK | {name.casefold() for name in further}


def host_name(header: str) -> str:
    """``localhost`` of ``localhost:11480``; empty if there is no host."""
    try:
        return (urlsplit(f"//{header}").hostname or "").casefold()
    except ValueError:
        return ""


def is_same_origin(host: str, *, origin: str | None, fetch_site: str | None) -> bool:
    """Whether the request comes from one of our pages, or from a program, which sends no Origin.

    ``same-site`` is not enough: another port of this machine is another program.
    """
    if fetch_site is not None and fetch_site not in {"same-origin", "none"}:
        return False
    if origin is None:
        return True
    return origin != "null" and urlsplit_netloc(origin) == host.casefold()


def urlsplit_netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.casefold()
    except ValueError:
        return ""
