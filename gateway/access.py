"""Authenticates requests: host and origin as for the dashboard, a token or a named key.

On loopback no key is required, for ``OLLAMA_HOST`` clients have none; a key that is sent
names its caller. Elsewhere, and wherever ``KOS_GATEWAY_TOKEN`` is set, a key or the token is
required. Keys are long and random: wrong ones are refused, and nobody is locked out by them.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Mapping

import anyio.to_thread
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from jobs.process.http_origins import LOOPBACK, allowed_hosts, host_name, is_same_origin
from jobs.settings.load import Settings
from models import caller_key
from models.database import DatabaseUnavailable, session

logger = logging.getLogger(__name__)

KEYS_SECONDS = 5.0
AWAY_SECONDS = 10.0
"""A Postgres that did not answer is not asked for so long, for every try holds up a request."""
CONTAINER_NAMES = ("host.docker.internal", "host.containers.internal")
"""How a container names its host; ``.internal`` is reserved, so no foreign site can point it here
(ICANN resolution 2024.07.29.06)."""
OPEN_PATHS = frozenset({"/healthz"})
WITH_TOKEN = "token"
WITHOUT_KEY = "local"


class Access:
    """Middleware. ``scope["kos_caller"]`` is the name of an admitted caller."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._token = settings.gateway_token
        self._required = bool(self._token) or settings.gateway_host not in LOOPBACK
        names = (*CONTAINER_NAMES, *settings.gateway_allowed_hosts)
        self._hosts = allowed_hosts(settings.gateway_host, names)
        self._names: Mapping[str, str] = {}
        self._read_at = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._foreign(headers)
        if refusal is None and scope["path"] not in OPEN_PATHS:
            caller = await self._caller(headers)
            if caller is None:
                refusal = _refusal(401, "send Authorization: Bearer with a key of `kos keys add`")
            scope["kos_caller"] = caller
        await (refusal or self._app)(scope, receive, send)

    def _foreign(self, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if self._hosts is not None and host_name(host) not in self._hosts:
            return _refusal(421, "this host name is not served here (KOS_GATEWAY_ALLOWED_HOSTS)")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if not is_same_origin(host, origin=origin, fetch_site=site):
            return _refusal(403, "the request comes from another site")
        return None

    async def _caller(self, headers: Headers) -> str | None:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        key = key.strip() if scheme.casefold() == "bearer" else ""
        if key.startswith(caller_key.PREFIX):
            name = (await self._keys()).get(caller_key.hash_of(key))
            if name is not None:
                return name
        if self._token and hmac.compare_digest(key.encode(), self._token.encode()):
            return _own_name(headers) or WITH_TOKEN
        if self._required:
            return None
        return _own_name(headers) or WITHOUT_KEY

    async def _keys(self) -> Mapping[str, str]:
        """The keys in use. While Postgres is away, those that were read last."""
        if time.monotonic() - self._read_at > KEYS_SECONDS:
            self._read_at = time.monotonic()
            try:
                self._names = await anyio.to_thread.run_sync(_read_keys)
            except DatabaseUnavailable as error:
                self._read_at = time.monotonic() + AWAY_SECONDS
                logger.warning("keys_not_read error=%s", error)
        return self._names


def _own_name(headers: Headers) -> str:
    """What a caller that has no key of its own calls itself."""
    return headers.get("x-kos-caller", "")[:100]


def _read_keys() -> Mapping[str, str]:
    with session():
        return caller_key.callers()


def _refusal(status: int, message: str) -> JSONResponse:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": error}, status_code=status, headers=headers)
