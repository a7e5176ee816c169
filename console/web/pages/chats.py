"""The callers of the gateway and their requests."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from console.supervision.addresses import gateway_url
from console.web.pages.plumbing import in_time, page, site_of
from models import request as request_log

DAYS = 7
REQUESTS_SHOWN = 50


def chats_page(request: Request) -> Response:
    usage = in_time(request, "by caller and day", lambda: request_log.usage_by_day(DAYS))
    newest = in_time(request, "the newest requests", lambda: request_log.newest(REQUESTS_SHOWN))
    address = gateway_url(site_of(request).settings)
    return page(request, "chats.html", usage=usage, newest=newest, address=address)
