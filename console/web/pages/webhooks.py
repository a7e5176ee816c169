"""Webhooks: who is told what happened, and how it went. The secret of a new one is shown once."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from console.operations import webhooks
from console.operations.errors import InvalidInput, UnknownName
from console.web.pages.plumbing import back_to, field, in_time, known_verb, page, site_of
from jobs.policy.webhooks import BY_DEFAULT, EVENTS
from models import webhook
from models.database import session

EMPTY: dict[str, Any] = {"name": "", "url": "", "events": list(BY_DEFAULT)}


def webhooks_page(request: Request) -> Response:
    return _page(request, EMPTY)


def add_webhook(request: Request, form: FormData) -> Response:
    written: dict[str, Any] = {
        "name": field(form, "name"),
        "url": field(form, "url"),
        "events": [str(event) for event in form.getlist("event")],
    }
    try:
        with session():
            added = webhooks.add(**written, settings=site_of(request).settings)
    except InvalidInput as error:
        return _page(request, written, problem=str(error), status=422)
    return _page(request, EMPTY, added=added)


def steer_webhook(request: Request, form: FormData) -> Response:
    """Test or remove the webhook that the form names."""
    verb, name = known_verb(request, ("test", "remove")), field(form, "name")
    try:
        with session():
            if verb == "remove":
                webhooks.remove(name)
            else:
                webhooks.send_test(name, settings=site_of(request).settings)
    except UnknownName:
        raise
    except InvalidInput as error:
        return _page(request, EMPTY, problem=str(error), status=422)
    return back_to("/webhooks", "removed" if verb == "remove" else "delivered")


def _page(
    request: Request,
    written: dict[str, Any],
    *,
    problem: str = "",
    added: dict[str, Any] | None = None,
    status: int = 200,
) -> Response:
    listed = in_time(request, "the webhooks", _listed)
    return page(
        request,
        "webhooks.html",
        status=status,
        webhooks=listed,
        events=EVENTS,
        written=written,
        problem=problem,
        added=added,
    )


def _listed() -> list[Any]:
    return [(one, webhooks.origin(one), webhooks.deliveries(one.name)) for one in webhook.listed()]
