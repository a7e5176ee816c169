"""The first screen, its live feed, and the choice of language and theme."""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from console.web.pages.plumbing import THEMES, field, local_path, page, site_of, words_of
from console.words import LANGUAGES

YEAR_SECONDS = 365 * 86_400
EVENT_STREAM = "text/event-stream"


def overview(request: Request) -> Response:
    return page(request, "overview.html", overview=site_of(request).overviews.get())


async def feed(request: Request) -> Response:
    """Server-sent events: the parts of the first screen as they change."""
    events = site_of(request).feed.events(words_of(request).language)
    return StreamingResponse(events, media_type=EVENT_STREAM)


def prefer(request: Request, form: FormData) -> Response:
    """Language and theme are kept in cookies that hold nothing else."""
    answer = RedirectResponse(local_path(field(form, "back"), "/"), status_code=303)
    for name, cookie, known in (
        ("lang", "kos_lang", LANGUAGES),
        ("theme", "kos_theme", (*THEMES, "auto")),
    ):
        chosen = field(form, name)
        if chosen in known:
            answer.set_cookie(
                cookie, chosen, max_age=YEAR_SECONDS, samesite="strict", httponly=True
            )
    return answer
