"""What every page shares: its frame, its actions, and where people are sent afterwards."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

import peewee
import redis
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from console.operations import status as status_of
from console.operations.errors import InvalidInput
from console.web.numbers import MOST_DIGITS, small_number
from console.web.security.sessions import Session
from console.web.site import Site
from console.web.templating import render
from console.words import Words, preferred, words_for
from models.database import DatabaseUnavailable, TookTooLong, session, time_limit

T = TypeVar("T")

logger = logging.getLogger(__name__)

LIST_SECONDS = 3
"""A person waits so long for a list; the page is then shown without it."""
THEMES = ("light", "dark")
MAX_FIELDS = 2000
LEVEL_KEPT_SECONDS = 600.0
MAX_FIELD_BYTES = 2 * 1024 * 1024
NAVIGATION = (
    ("/", "Overview", "o"),
    ("/tasks", "Tasks", "t"),
    ("/submit", "Submit", "n"),
    ("/batches", "Batches", "a"),
    ("/backends", "Backends", "b"),
    ("/queues", "Queues", "q"),
    ("/experts", "Experts", "e"),
    ("/chat", "Chat", "c"),
    ("/schedule", "Schedule", "s"),
    ("/webhooks", "Webhooks", "w"),
    ("/health", "Health", "h"),
)

Change = Callable[[Request, FormData], Response]


def site_of(request: Request) -> Site:
    return cast(Site, request.app.state.site)


def session_of(request: Request) -> Session:
    return cast(Session, request.scope["kos"])


def words_of(request: Request) -> Words:
    chosen = request.cookies.get("kos_lang")
    return words_for(preferred(chosen, request.headers.get("accept-language", "")))


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A whole page, or only its ``main`` for a request of our script."""
    site = site_of(request)
    theme = request.cookies.get("kos_theme")
    text = render(
        site.templates,
        template,
        words_of(request),
        path=request.url.path,
        navigation=NAVIGATION,
        theme=theme if theme in THEMES else "",
        form_token=session_of(request).form_token,
        read_only=site.settings.dashboard_read_only,
        can_leave=site.needs_token,
        badges=status_of.badges(site.settings),
        level=_level(request) if status == 200 else "bad" if status >= 500 else "",
        notice=notice(request) if status == 200 else "",
        left_out=getattr(request.state, "left_out", ()),
        list_seconds=LIST_SECONDS,
        **values,
    )
    return HTMLResponse(text, status_code=status)


def _level(request: Request) -> str:
    """Of the verdict, for the icon of the page; "" for a visitor who may not know it.

    An old one will do: this never waits, but for the first time.
    """
    site = site_of(request)
    if site.needs_token and not session_of(request).authenticated:
        return ""
    try:
        return str(site.overviews.get(stale_seconds=LEVEL_KEPT_SECONDS).verdict.level)
    except (DatabaseUnavailable, peewee.PeeweeException, redis.RedisError):
        return "bad"


def in_time(request: Request, part: str, read: Callable[[], T]) -> T | None:
    """What ``read`` returns, with a session; None where Postgres takes too long for it: the page
    shows the rest, and names ``part`` as left out."""
    try:
        with session(), time_limit(LIST_SECONDS):
            return read()
    except TookTooLong:
        logger.warning("left_out path=%s part=%s", request.url.path, part)
        request.state.left_out = (*getattr(request.state, "left_out", ()), part)
        return None


def action(change: Change, *, files: int = 0) -> Callable[[Request], Any]:
    """An endpoint for forms: the form token is checked, then ``change`` runs in a thread.

    A form may hold so many ``files``.
    """

    async def endpoint(request: Request) -> Response:
        async with request.form(
            max_files=files, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
        ) as form:
            token = form.get("csrf") or request.headers.get("x-csrf-token") or ""
            if not hmac.compare_digest(
                str(token).encode(), session_of(request).form_token.encode()
            ):
                return await run_in_threadpool(_refused, request)
            return await run_in_threadpool(change, request, form)

    return endpoint


def back_to(path: str, message: str = "", **numbers: int) -> RedirectResponse:
    """After a change: show ``path`` again and say there what happened."""
    query = urlencode({"said": message, **numbers}) if message else ""
    separator = "&" if "?" in path else "?"
    return RedirectResponse(f"{path}{separator}{query}" if query else path, status_code=303)


def notice(request: Request) -> str:
    """The sentence of the change that led here; only sentences of ours, filled with numbers."""
    sentence = NOTICES.get(request.query_params.get("said", ""))
    if sentence is None:
        return ""
    return words_of(request)(sentence, n=number_field(request, "n"))


def number_field(request: Request, name: str) -> int:
    """A whole number of the address, 0 where it has none; raises InvalidInput for anything else."""
    number = small_number(request.query_params.get(name) or "0", default=-1)
    if number < 0:
        raise InvalidInput(f"{name}: write a whole number of at most {MOST_DIGITS} digits")
    return number


def field(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def known_verb(request: Request, known: tuple[str, ...]) -> str:
    """The last part of the address; 404 for a word that is none of ``known``."""
    verb = str(request.path_params["verb"])
    if verb not in known:
        raise HTTPException(404)
    return verb


def local_path(written: str, default: str) -> str:
    """``written`` if it is a path of ours, so that a link cannot lead to another site."""
    good = written.startswith("/") and not written.startswith(("//", "/\\"))
    return written if good and written.isprintable() else default


def _refused(request: Request) -> Response:
    return page(request, "refused.html", status=403)


NOTICES = {
    "cancelled": "Cancelled: {n}.",
    "retried": "Sent through again: {n}.",
    "elsewhere": "Sent through again elsewhere: {n}.",
    "accepted": "The answer is the result now.",
    "nothing": "Nothing to change: those had moved on already.",
    "submitted": "Submitted: {n}.",
    "batch_begun": "The batch has begun: its lines are checked and become tasks.",
    "batch_cancelling": "The batch is being cancelled: what runs is stopped, what ended is kept.",
    "paused": "Paused: nothing more is sent there; what runs goes on.",
    "resumed": "Resumed.",
    "schedule_paused": "Paused: due times pass without a run.",
    "requeued": "Dead letters sent again: {n}.",
    "changed": "Changed.",
    "restarted": "Restarted.",
    "deleted": "Messages deleted: {n}.",
    "removed": "Removed.",
    "delivered": "Delivered: the receiver took the test event.",
    "unconfirmed": "Nothing was deleted: type the queue's name to confirm.",
}
