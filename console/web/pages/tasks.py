"""The list of tasks: filters and search."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from console.operations import tasks
from console.operations.errors import BadInput
from console.operations.times import parse_since
from console.web.pages.plumbing import number_field, page, site_of
from jobs.process.clock import utc_now
from models.base import Row
from models.database import session
from models.states import TaskState

PAGE_ROWS = 50
MAX_OFFSET = 1_000_000


@dataclass(frozen=True, slots=True)
class Filters:
    """What the address asks for; what is wrong in it is told in ``problem`` and left out."""

    status: str = ""
    backend: str = ""
    search: str = ""
    since: str = ""
    since_moment: datetime | None = None
    offset: int = 0
    problem: str = ""

    def query(self, *, offset: int = 0) -> str:
        pairs = {"status": self.status, "backend": self.backend, "q": self.search,
                 "since": self.since, "offset": offset}  # fmt: skip
        return urlencode({name: value for name, value in pairs.items() if value})


def tasks_page(request: Request) -> Response:
    site = site_of(request)
    filters = read_filters(request)
    with session():
        rows = _listed(filters)
    only_rows = request.headers.get("hx-target") == "rows"
    return page(
        request,
        "parts/task_rows.html" if only_rows else "tasks.html",
        tasks=rows[:PAGE_ROWS],
        has_more=len(rows) > PAGE_ROWS,
        page_rows=PAGE_ROWS,
        filters=filters,
        states=[state.value for state in TaskState],
        backends=[spec.name for spec in site.settings.backends],
    )


def read_filters(request: Request) -> Filters:
    asked = request.query_params
    problem, since_moment = "", None
    status = asked.get("status", "").strip()
    try:
        status = (tasks.checked_statuses([status]) or ("",))[0]
    except BadInput as error:
        problem, status = str(error), ""
    since = asked.get("since", "").strip()
    try:
        since_moment = parse_since(since, now=utc_now()) if since else None
    except BadInput as error:
        problem, since = str(error), ""
    offset = number_field(request, "offset")
    return Filters(
        status=status,
        backend=_clean(asked.get("backend", "")),
        search=_clean(asked.get("q", "")),
        since=since,
        since_moment=since_moment,
        offset=min(MAX_OFFSET, offset),
        problem=problem,
    )


def _listed(filters: Filters) -> list[Row]:
    return tasks.listed(
        statuses=(filters.status,) if filters.status else (),
        backend=filters.backend or None,
        since=filters.since_moment,
        search=filters.search or None,
        limit=PAGE_ROWS + 1,
        offset=filters.offset,
    )


def _clean(text: str) -> str:
    return text.strip().replace("\x00", "")[:200]
