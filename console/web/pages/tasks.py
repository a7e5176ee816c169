"""The list of tasks: filters and search."""

from __future__ import annotations

from collections.abc import Mapping
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
from models import task_views
from models.database import session
from models.states import TaskState
from models.task_filter import TaskFilter

PAGE_ROWS = 50
COUNTED = 10_000
MAX_OFFSET = 1_000_000


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of the address; ``problem`` describes an invalid one, which is ignored."""

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

    def chosen(self) -> TaskFilter:
        return TaskFilter(
            statuses=(self.status,) if self.status else (),
            backend=self.backend or None,
            search=self.search or None,
            since=self.since_moment,
        )


def tasks_page(request: Request) -> Response:
    site = site_of(request)
    filters = read_filters(request.query_params, offset=number_field(request, "offset"))
    with session():
        rows = task_views.listing(filters.chosen(), limit=PAGE_ROWS + 1, offset=filters.offset)
        matching = task_views.matching(filters.chosen(), at_most=COUNTED) if rows else 0
    only_rows = request.headers.get("hx-target") == "rows"
    return page(
        request,
        "parts/task_rows.html" if only_rows else "tasks.html",
        tasks=rows[:PAGE_ROWS],
        has_more=len(rows) > PAGE_ROWS,
        page_rows=PAGE_ROWS,
        matching=f"{matching:,}" if matching < COUNTED else f"{COUNTED:,}+",
        filters=filters,
        states=[state.value for state in TaskState],
        backends=[spec.name for spec in site.settings.backends],
    )


def read_filters(query: Mapping[str, str], *, offset: int = 0) -> Filters:
    """The filters of the address or of the list's form."""
    problem, since_moment = "", None
    status = query.get("status", "").strip()
    try:
        status = (tasks.checked_statuses([status]) or ("",))[0]
    except BadInput as error:
        problem, status = str(error), ""
    since = query.get("since", "").strip()
    try:
        since_moment = parse_since(since, now=utc_now()) if since else None
    except BadInput as error:
        problem, since = str(error), ""
    return Filters(
        status=status,
        backend=_clean(query.get("backend", "")),
        search=_clean(query.get("q", "")),
        since=since,
        since_moment=since_moment,
        offset=min(MAX_OFFSET, offset),
        problem=problem,
    )


def _clean(text: str) -> str:
    return text.strip().replace("\x00", "")[:200]
