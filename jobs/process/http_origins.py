"""Which Host and Origin a request may name: the answer to DNS rebinding and to foreign forms."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def allowed_hosts(listening_on: str, further: Iterable[str]) -> frozenset[str] | None:
    """Names that a Host header may carry; None: any, for a token guards what is public."""
    if listening_on not in LOOPBACK:
        return None
    return LOOPBACK | {name.casefold() for name in further}


def host_name(header: str) -> str:
    """``localhost`` of ``localhost:11480``; empty for what is no host."""
    try:
        return (urlsplit(f"//{header}").hostname or "").casefold()
    except ValueError:
        return ""


def is_same_origin(host: str, *, origin: str | None, fetch_site: str | None) -> bool:
    """Whether a browser sent this from a page of ours; a program that is no browser names neither.

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
