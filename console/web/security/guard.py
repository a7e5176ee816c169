"""Checks every request before a route sees it."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.web.numbers import small_number
from console.web.security.attempts import LoginAttempts
from console.web.security.headers import HEADERS, NOT_STORED, STATIC
from console.web.security.sessions import Session, Sessions
from jobs.process.http_origins import host_name, is_same_origin

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_PATHS = frozenset({"/healthz", "/login"})
COOKIES_ONLY = frozenset({"/login", "/logout", "/prefer"})
"""What a post changes here is the visitor's own browser."""
FOR_PROGRAMS = ("/api/", "/v1/", "/metrics")
MAX_BODY_BYTES = 16_000_000
MAX_UPLOAD_BYTES = 200_000_000
UPLOADS = frozenset({"/v1/files", "/batches", "/submit"})
UPLOAD_SECONDS = 900.0


class Guard:
    """Checks host, origin, session and size; adds the headers. ``scope["kos"]`` is the session.

    Programs show ``Authorization: Bearer TOKEN``; pages have a session cookie, and what they
    change carries the form token, which the action itself checks.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        sessions: Sessions,
        attempts: LoginAttempts,
        hosts: Iterable[str] | None,
        needs_token: bool,
        read_only: bool,
        body_seconds: float,
    ) -> None:
        self._app = app
        self._sessions = sessions
        self._attempts = attempts
        self._hosts = frozenset(hosts) if hosts is not None else None
        self._needs_token = needs_token
        self._read_only = read_only
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        session = self._sessions.read(_cookie(headers, self._sessions.cookie_name))
        fresh = session is None
        session = session or self._sessions.new(authenticated=False)
        scope["kos"] = session
        refusal = self._refusal(scope, headers, session)
        app = refusal if refusal is not None else self._app
        begun = self._sessions.set_cookie(session, secure=is_secure(scope)) if fresh else None
        adding = _Adding(scope, send, begun)
        counted = _Counted(receive, scope, body_seconds=self._body_seconds)
        await app(scope, counted, adding)

    def _refusal(self, scope: Scope, headers: Headers, session: Session) -> Response | None:
        path, method = scope["path"], scope["method"]
        host = headers.get("host", "")
        if self._hosts is not None and host_name(host) not in self._hosts:
            return _respond(path, 421, "this host name is not served here")
        locked = self._locked_out(scope, headers)
        if locked is not None:
            return locked
        if method not in SAFE_METHODS:
            origin, site = headers.get("origin"), headers.get("sec-fetch-site")
            if not is_same_origin(host, origin=origin, fetch_site=site):
                return _respond(path, 403, "the request comes from another site")
            if self._read_only and path not in COOKIES_ONLY:
                return _respond(path, 403, "this dashboard is read-only (KOS_DASHBOARD_READ_ONLY)")
        if _too_large(headers, path):
            message = f"the body is larger than {_bound(path)} bytes"
            return _respond(path, 413, message, {"connection": "close"})
        authenticated = not self._needs_token or session.authenticated or scope["kos_bearer"]
        if authenticated or path in OPEN_PATHS or path.startswith("/static/"):
            return self._without_form_token(scope, headers, session)
        if path.startswith(FOR_PROGRAMS):
            message = "send the header Authorization: Bearer KOS_DASHBOARD_TOKEN"
            return _respond(path, 401, message, {"www-authenticate": "Bearer"})
        return RedirectResponse("/login", status_code=303)

    def _locked_out(self, scope: Scope, headers: Headers) -> Response | None:
        """Looks at the bearer token: a right one always opens, too many wrong ones have to wait."""
        scope["kos_bearer"] = False
        token, address = _bearer(headers), address_of(scope)
        if token is None or not self._needs_token:
            return None
        scope["kos_bearer"] = self._sessions.is_token(token)
        wait_seconds = 0 if scope["kos_bearer"] else self._attempts.failed(address, token)
        if wait_seconds == 0:
            return None
        message = f"too many wrong tokens: wait {wait_seconds} s"
        return _respond(scope["path"], 429, message, {"retry-after": str(wait_seconds)})

    def _without_form_token(
        self, scope: Scope, headers: Headers, session: Session
    ) -> Response | None:
        """A program has a bearer token; a page that calls the API shows its form token."""
        path = scope["path"]
        if scope["method"] in SAFE_METHODS or not path.startswith(FOR_PROGRAMS):
            return None
        if not self._needs_token or scope["kos_bearer"]:
            return None
        token = headers.get("x-csrf-token", "")
        if hmac.compare_digest(token.encode(), session.form_token.encode()):
            return None
        return _respond(path, 403, "send a bearer token, or the page's token in X-CSRF-Token")


class _Adding:
    """Sends on, with the security headers, and the cookie of a session that has just begun."""

    def __init__(self, scope: Scope, send: Send, begun: str | None) -> None:
        self._send = send
        self._is_static = scope["path"].startswith("/static/")
        is_page = not scope["path"].startswith((*FOR_PROGRAMS, "/static/", "/healthz"))
        self._begun = begun if is_page else None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            added = [*HEADERS, STATIC if self._is_static else NOT_STORED]
            message["headers"] = [
                *message["headers"], *(pair for pair in added if pair[0] not in present)
            ]  # fmt: skip
            if self._begun is not None and b"set-cookie" not in present:
                message["headers"].append((b"set-cookie", self._begun.encode()))
        await self._send(message)


class _Counted:
    """Receives on, and breaks off a body that is larger or slower than it may be.

    ``scope["kos_cut_off"]`` is then the status to answer: 413 or 408.
    """

    def __init__(self, receive: Receive, scope: Scope, *, body_seconds: float) -> None:
        self._receive = receive
        self._scope = scope
        self._left = _bound(scope["path"])
        upload = scope["path"] in UPLOADS
        self._deadline = time.monotonic() + (UPLOAD_SECONDS if upload else body_seconds)
        self._whole = False

    async def __call__(self) -> Message:
        if self._whole:
            return await self._receive()
        patience = self._deadline - time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, patience))
        except TimeoutError:
            return self._cut_off(408)
        self._whole = not message.get("more_body", False)
        self._left -= len(message.get("body", b""))
        return self._cut_off(413) if self._left < 0 else message

    def _cut_off(self, status: int) -> Message:
        self._scope["kos_cut_off"] = status
        return {"type": "http.disconnect"}


def address_of(scope: Scope) -> str:
    """Whose wrong tokens are counted together."""
    client = scope.get("client")
    return str(client[0]) if client else "?"


def is_secure(scope: Scope) -> bool:
    return bool(scope.get("scheme") == "https")


def _respond(
    path: str, status: int, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    if path.startswith(FOR_PROGRAMS):
        error: dict[str, Any] = {"message": message, "type": "invalid_request_error"}
        return JSONResponse({"error": error}, status_code=status, headers=headers)
    return PlainTextResponse(f"{message}\n", status_code=status, headers=headers)


def _cookie(headers: Headers, name: str) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return None
    return found.value if found else None


def _bearer(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.casefold() == "bearer" else None


def _bound(path: str) -> int:
    return MAX_UPLOAD_BYTES if path in UPLOADS else MAX_BODY_BYTES


def _too_large(headers: Headers, path: str) -> bool:
    length = headers.get("content-length", "0")
    return small_number(length, default=_bound(path) + 1) > _bound(path)
