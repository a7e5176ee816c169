"""Projects: totals that lead to their tasks, and their defaults."""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from console.operations import projects
from console.web.pages.plumbing import back_to, field, in_time, page, site_of
from models.database import session


def projects_page(request: Request) -> Response:
    site = site_of(request)
    rows = in_time(request, "the projects", projects.listed)
    everybody = in_time(request, "the experts", site.overviews.experts) or ()
    return page(
        request,
        "projects.html",
        projects=rows,
        experts=[one.name for one in everybody if one.active and one.name],
        backends=[spec.name for spec in site.settings.backends],
    )


def keep_defaults(request: Request, form: FormData) -> Response:
    site = site_of(request)
    with session():
        projects.keep(
            field(form, "name"),
            expert=field(form, "expert") or None,
            backend=field(form, "backend") or None,
            settings=site.settings,
        )
    return back_to("/projects", "changed")
