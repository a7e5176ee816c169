"""In with the token, out again."""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from console.web.pages.plumbing import field, page, session_of, site_of
from console.web.security.guard import address_of, is_secure


def login_page(request: Request) -> Response:
    if not site_of(request).needs_token or session_of(request).authenticated:
        return RedirectResponse("/", status_code=303)
    return page(request, "login.html", problem="", wait_seconds=0)


def login(request: Request, form: FormData) -> Response:
    site = site_of(request)
    address = address_of(request.scope)
    token = field(form, "token")
    if site.sessions.is_token(token):
        return _with_session(request, "/", authenticated=True)
    wait_seconds = site.logins.failed(address, token)
    if wait_seconds == 0:
        return page(request, "login.html", status=403, problem="wrong", wait_seconds=0)
    answer = page(request, "login.html", status=429, problem="wait", wait_seconds=wait_seconds)
    answer.headers["retry-after"] = str(wait_seconds)
    return answer


def logout(request: Request, form: FormData) -> Response:
    session = session_of(request)
    if session.authenticated:
        site_of(request).sessions.end(session)
    return _with_session(request, "/login", authenticated=False)


def _with_session(request: Request, path: str, *, authenticated: bool) -> Response:
    answer = RedirectResponse(path, status_code=303)
    sessions = site_of(request).sessions
    begun = sessions.new(authenticated=authenticated)
    answer.headers["set-cookie"] = sessions.set_cookie(begun, secure=is_secure(request.scope))
    return answer
