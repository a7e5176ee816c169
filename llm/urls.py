"""Reads the servers' addresses from the environment and normalises them. Pure."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

OLLAMA_PORT = 11434
MLX_PORT = 11435
CONTAINER_HOST = "host.docker.internal"
DISABLED_WORDS = frozenset({"disabled", "none", "off", "false", "no", "0"})

_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


class UrlError(ValueError):
    """The text is not a server address; the message says what to write instead."""


@dataclass(frozen=True, slots=True)
class NormalisedUrl:
    """``url``: scheme, host, port, path; no trailing slash, no credentials, query or fragment."""

    url: str
    basic_auth: tuple[str, str] | None = field(default=None, repr=False)


def ollama_url(environ: Mapping[str, str], *, in_container: bool) -> str:
    """Ollama's address as written: `OLLAMA_API_URL`, `OLLAMA_BASE_URL`, else the default."""
    for name in ("OLLAMA_API_URL", "OLLAMA_BASE_URL"):
        value = environ.get(name, "").strip()
        if value:
            return value
    return f"http://{_default_host(in_container)}:{OLLAMA_PORT}"


def mlx_url(environ: Mapping[str, str], *, in_container: bool) -> str | None:
    """The address of the MLX server as written, or None where `MLX_API_URL` turns it off."""
    value = environ.get("MLX_API_URL", "").strip()
    if value.lower() in DISABLED_WORDS:
        return None
    if value:
        return value
    port = environ.get("MLX_API_PORT", "").strip() or str(MLX_PORT)
    return f"http://{_default_host(in_container)}:{port}"


def in_container() -> bool:
    """Does this process run in a Docker or Podman container?"""
    return any(os.path.exists(mark) for mark in _CONTAINER_MARKS)


def normalise(url: str) -> NormalisedUrl:
    """Normalise an address that a person wrote; raises UrlError that says what to write.

    A missing scheme becomes `http://`, a bare IPv6 address gets brackets, a path stays (servers
    behind a proxy), credentials move to ``basic_auth``.
    """
    text = url.strip().strip("\"'")
    if not text:
        raise UrlError("the server's URL is empty: write one such as http://localhost:11434")
    if any(char.isspace() or ord(char) < 32 for char in text):
        raise UrlError(f"the URL {_safe(text)!r} contains white space: remove it")
    parts = _split(_with_scheme(text))
    host = _host(parts, text)
    port = _port(parts, text)
    path = re.sub(r"/{2,}", "/", parts.path).rstrip("/")
    address = f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{path}"
    return NormalisedUrl(url=address, basic_auth=_credentials(parts))


def _default_host(in_container: bool) -> str:
    return CONTAINER_HOST if in_container else "localhost"


def _with_scheme(text: str) -> str:
    if _SCHEME.match(text):
        return text
    if _is_ipv6(text):
        return f"http://[{text}]"
    return f"http://{text.lstrip('/')}"


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
    except ValueError as exc:
        raise UrlError(
            f"the URL {_safe(text)!r} cannot be read ({exc}): write http://host:port, "
            "an IPv6 address in brackets as in http://[::1]:11434"
        ) from exc
    if parts.scheme not in ("http", "https"):
        raise UrlError(f"the URL {_safe(text)!r} has scheme {parts.scheme!r}: use http or https")
    if parts.query or parts.fragment:
        raise UrlError(f"the URL {_safe(text)!r} has a query or a fragment: remove it")
    return parts


def _host(parts: SplitResult, text: str) -> str:
    authority = parts.netloc.rpartition("@")[2]
    if "[" not in authority and authority.count(":") > 1:
        raise UrlError(f"the URL {_safe(text)!r} has too many colons: IPv6 needs brackets, [::1]")
    host = parts.hostname
    if not host:
        raise UrlError(f"the URL {_safe(text)!r} names no host: write http://host:port")
    if _is_ipv6(host):
        return f"[{host}]"
    if not host.isascii():
        host = _punycode(host, text)
    if not _HOST_NAME.fullmatch(host):
        raise UrlError(f"the URL {_safe(text)!r} has an impossible host name {host!r}")
    return host


def _punycode(host: str, text: str) -> str:
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as exc:
        raise UrlError(f"the URL {_safe(text)!r} has an impossible host name {host!r}") from exc


def _port(parts: SplitResult, text: str) -> int | None:
    try:
        port = parts.port
    except ValueError as exc:
        raise UrlError(
            f"the URL {_safe(text)!r} has a port that is not a number from 1 to 65535"
        ) from exc
    if port == 0:
        raise UrlError(f"the URL {_safe(text)!r} has port 0: name the port the server listens on")
    return port


def _credentials(parts: SplitResult) -> tuple[str, str] | None:
    if parts.username is None and parts.password is None:
        return None
    return unquote(parts.username or ""), unquote(parts.password or "")


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def _safe(text: str) -> str:
    """The text for a message, without anything before an ``@``, which may be a password."""
    scheme = _SCHEME.match(text)
    start = scheme.end() if scheme else 0
    before, at, after = text[start:].rpartition("@")
    del before
    return text[:start] + "***@" + after if at else text
