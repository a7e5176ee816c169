"""The list of tasks: filters and search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from console.operations import tasks
from console.operations.errors import InvalidInput
from console.operations.remedies import remedy_of
from console.operations.times import parse_since
from console.web.pages.plumbing import in_time, number_field, page, site_of
from console.web.site import Site
from jobs.process.clock import utc_now
from models import counts, task_views
from models.states import TaskState
from models.task_filter import LITERAL_AMONG, TaskFilter, has_words
from models.task_rows import ListedTask

PAGE_ROWS = 50
FACETED = 1_000
"""Of so many of the newest tasks the counts by filter are taken: a list is fetched often."""
MAX_OFFSET = 1_000_000
FACETS = ("status", "backend", "model", "category", "expert", "priority", "project")
_Counts = tuple[dict[str, dict[str, int]], str]
NAMES = (*FACETS, "tag", "code", "batch", "q", "since")


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of the address by name (`NAMES`), "" where there is none; ``problem`` describes
    an invalid one, which is ignored."""

    texts: Mapping[str, str]
    since_moment: datetime | None = None
    offset: int = 0
    problem: str = ""

    def query(self, *, offset: int = 0, **changes: str) -> str:
        pairs = {**self.texts, **changes, "offset": offset}
        return urlencode({name: value for name, value in pairs.items() if value})

    def chosen(self, **changes: str) -> TaskFilter:
        texts = {**self.texts, **changes}
        narrowing = (*FACETS[1:], "tag", "code", "batch")
        named: dict[str, Any] = {name: texts[name] or None for name in narrowing}
        return TaskFilter(
            statuses=(texts["status"],) if texts["status"] else (),
            search=texts["q"] or None,
            since=self.since_moment,
            **named,
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """``newest`` are the ids of the newest tasks of the list, at most `FACETED`; ``among``: only so
    many tasks were searched, 0 where all were."""

    newest: list[str]
    rows: list[ListedTask]
    among: int


def tasks_page(request: Request) -> Response:
    site = site_of(request)
    filters = read_filters(request.query_params, offset=number_field(request, "offset"))
    found, counts_found = in_time(request, "the tasks", lambda: _read(request, filters)) or (
        None,
        None,
    )
    counted, matching = counts_found or ({}, "")
    only_rows = request.headers.get("hx-target") == "rows"
    return page(
        request,
        "parts/task_rows.html" if only_rows else "tasks.html",
        tasks=found.rows[:PAGE_ROWS] if found else None,
        has_more=found is not None and len(found.rows) > PAGE_ROWS,
        page_rows=PAGE_ROWS,
        matching=matching,
        among=found.among if found else 0,
        filters=filters,
        options=_options(site, filters, counted),
        only_rows=only_rows,
        remedy=remedy_of(filters.texts["code"]),
    )


def _read(request: Request, filters: Filters) -> tuple[_Found, _Counts | None]:
    """The list and its counts, in one transaction; no counts where they take too long."""
    found = _found(filters)
    return found, in_time(
        request,
        "the counts by filter",
        lambda: (_counted(filters, found.newest), _matching(filters, found.newest)),
    )


def _found(filters: Filters) -> _Found:
    chosen, end = filters.chosen(), filters.offset + PAGE_ROWS + 1
    newest = task_views.newest_ids(chosen, limit=FACETED)
    if end <= len(newest) or len(newest) < FACETED:
        rows = task_views.of_ids(newest[filters.offset : end])
    else:
        rows = task_views.of_ids(
            task_views.newest_ids(chosen, limit=PAGE_ROWS + 1, offset=filters.offset)
        )
    among = 0 if chosen.search is None or has_words(chosen.search) else LITERAL_AMONG
    return _Found(newest, rows, among)


def _counted(filters: Filters, newest: list[str]) -> dict[str, dict[str, int]]:
    """Of the newest tasks of the list, how many have which value, by facet; those of the status
    count as if no status was chosen."""
    if not filters.texts["status"]:
        return task_views.facets(newest, FACETS)
    found = task_views.facets(newest, FACETS[1:])
    any_status = task_views.newest_ids(filters.chosen(status=""), limit=FACETED)
    return found | {"status": task_views.facets(any_status, FACETS[:1])["status"]}


def _matching(filters: Filters, newest: list[str]) -> str:
    """How many tasks match, as far as they were counted; all of a status are counted anyhow."""
    chosen, seen = filters.chosen(), len(newest)
    if seen < FACETED or not chosen.only_by_status:
        return f"{seen:,}" + ("+" if seen >= FACETED else "")
    kept = counts.by_status()
    return f"{sum(kept.get(one, 0) for one in chosen.statuses or kept):,}"


def _options(
    site: Site, filters: Filters, found: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, int]]:
    """By facet, its values with how many of the newest tasks have each. What can be chosen without
    a task counts 0."""
    known = {
        "status": [state.value for state in TaskState],
        "backend": [spec.name for spec in site.settings.backends],
    }
    return {
        name: dict.fromkeys([*known.get(name, ()), *filter(None, [filters.texts[name]])], 0)
        | dict(found.get(name, {}))
        for name in (*FACETS, "tag")
    }


def read_filters(query: Mapping[str, str], *, offset: int = 0) -> Filters:
    """The filters of the address or of the list's form."""
    texts, problem, since_moment = {name: _clean(query.get(name, "")) for name in NAMES}, "", None
    try:
        texts["status"] = (tasks.checked_statuses([texts["status"]]) or ("",))[0]
    except InvalidInput as error:
        problem, texts["status"] = str(error), ""
    try:
        since_moment = parse_since(texts["since"], now=utc_now()) if texts["since"] else None
    except InvalidInput as error:
        problem, texts["since"] = str(error), ""
    return Filters(texts, since_moment, min(MAX_OFFSET, offset), problem)


def _clean(text: str) -> str:
    return text.strip().replace("\x00", "")[:200]
