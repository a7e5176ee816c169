"""Sessions as a signed cookie, and a form token derived from it; only ended ones are stored.

The key comes from KOS_DASHBOARD_TOKEN, so sessions outlive a restart and end when the token is
changed; without a token each process has a key of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from console.web.security.ended import EndedSessions

SESSION_SECONDS = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Session:
    """``authenticated``: the visitor has entered the token. ``form_token`` must accompany every
    change."""

    cookie: str
    authenticated: bool
    form_token: str


class Sessions:
    """Creates and checks cookies. ``token`` is the dashboard's, None without login.

    Browsers send a cookie to every port of a host; ``port`` separates the dashboards of one host.
    """

    def __init__(
        self,
        token: str | None,
        *,
        port: int,
        ended: EndedSessions | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.cookie_name = f"kos_session_{port}"
        self._token = token
        self._ended = ended or EndedSessions(None)
        self._clock = clock
        seed = token.encode() if token else secrets.token_bytes(32)
        self._key = hmac.new(seed, b"kos dashboard session", hashlib.sha256).digest()

    def new(self, *, authenticated: bool) -> Session:
        expires = int(self._clock() + SESSION_SECONDS)
        body = f"{int(authenticated)}.{expires}.{secrets.token_urlsafe(16)}"
        return self._session(f"{body}.{self._sign('cookie', body)}", authenticated=authenticated)

    def read(self, cookie: str | None) -> Session | None:
        """The session of a cookie with our signature that has neither expired nor ended."""
        body, _, signature = (cookie or "").rpartition(".")
        if not body or not _same(signature, self._sign("cookie", body)):
            return None
        authenticated, expires, name = body.split(".")
        if int(expires) < self._clock() or name in self._ended:
            return None
        return self._session(f"{body}.{signature}", authenticated=authenticated == "1")

    def end(self, session: Session) -> None:
        """End the session: its cookie is refused from now on, copies included. Raises OSError."""
        _, expires, name, _ = session.cookie.split(".")
        self._ended.add(name, expires=float(expires), now=self._clock())

    def set_cookie(self, session: Session, *, secure: bool) -> str:
        """The Set-Cookie line; ``secure``: over HTTPS alone."""
        tail = "; Secure" if secure else ""
        return (
            f"{self.cookie_name}={session.cookie}; Path=/; Max-Age={SESSION_SECONDS}; HttpOnly; "
            f"SameSite=Strict{tail}"
        )

    def is_token(self, token: str | None) -> bool:
        """Whether ``token`` is the dashboard's token; takes the same time for every wrong one."""
        return bool(self._token) and _same(token or "", self._token or "")

    def _session(self, cookie: str, *, authenticated: bool) -> Session:
        return Session(cookie, authenticated, self._sign("form", cookie))

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
