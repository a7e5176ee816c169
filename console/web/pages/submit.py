"""The form for one task."""

from __future__ import annotations

import json

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from console.operations import submission
from console.operations.submission_lines import Line
from console.web.figures import scan
from console.web.pages.plumbing import back_to, field, page, site_of
from llm.types import Category
from models.states import Priority

FIELDS = ("title", "description", "priority", "category", "expert", "backend", "model")


def submit_page(request: Request) -> Response:
    return _form(request, {}, problem="", status=200)


def submit(request: Request, form: FormData) -> Response:
    written = {name: field(form, name) for name in (*FIELDS, "schema", "after")}
    value: dict[str, object] = {name: written[name] for name in FIELDS if written[name]}
    if written["after"]:
        value["after"] = written["after"].split()
    if written["schema"]:
        try:
            value["schema"] = json.loads(written["schema"])
        except (ValueError, RecursionError) as error:
            return _form(request, written, problem=f"schema: is not JSON ({error})", status=422)
    site = site_of(request)
    report = submission.submit([Line(1, value)], rules=site.rules)
    site.changed()
    if report.rejected:
        return _form(request, written, problem=report.rejected[0][1], status=422)
    return back_to(f"/tasks/{report.ids[0]}", "submitted", n=1)


def _form(request: Request, written: dict[str, str], *, problem: str, status: int) -> Response:
    site = site_of(request)
    everybody = site.overviews.experts()
    names = [row["name"] for row in everybody if row["active"] and row["name"]]
    return page(
        request,
        "submit.html",
        status=status,
        written={name: written.get(name, "") for name in (*FIELDS, "schema", "after")},
        problem=problem,
        experts=names,
        models=scan.model_names(site.settings, site.redis),
        backends=[spec.name for spec in site.settings.backends],
        categories=[category.value for category in Category],
        priorities=[priority.value for priority in Priority],
    )
