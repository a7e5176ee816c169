"""The form for one task."""

from __future__ import annotations

import json
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from console.operations import ids, reruns, submission
from console.operations.errors import NotFound
from console.operations.submission_lines import Line
from console.web.figures import scan
from console.web.pages.plumbing import back_to, field, page, site_of
from llm.types import Category
from models import task_views
from models.database import session
from models.states import Priority

AGAIN = "again"
FIELDS = ("title", "description", "priority", "category", "expert", "backend", "model")
IN_THE_FORM = frozenset(
    {"assignee_hint", "category", "preferred_model", "required_backend", "response_schema"}
)
WRITTEN = (*FIELDS, "schema", "after", AGAIN)


def submit_page(request: Request) -> Response:
    """An empty form, or with ``?again=ID`` that of an ended task."""
    again = request.query_params.get(AGAIN, "")
    return _form(request, _written_of(again) if again else {}, problem="", status=200)


def submit(request: Request, form: FormData) -> Response:
    written = {name: field(form, name) for name in WRITTEN}
    value: dict[str, object] = {name: written[name] for name in FIELDS if written[name]}
    if written[AGAIN]:
        options = _line_of(written[AGAIN])["metadata"]
        value["metadata"] = {key: options[key] for key in options if key not in IN_THE_FORM}
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


def _written_of(again: str) -> dict[str, str]:
    """The form of a task; raises NotFound and BadInput as `ids.resolve` does."""
    line = _line_of(again)
    options = line["metadata"]
    written = {name: str(line.get(name) or "") for name in FIELDS}
    written["model"] = str(options.get("preferred_model") or "")
    written["backend"] = str(options.get("required_backend") or "")
    schema = options.get("response_schema")
    written["schema"] = json.dumps(schema, ensure_ascii=False) if schema else ""
    return written | {"after": " ".join(line.get("after", ())), AGAIN: options[reruns.LINK]}


def _line_of(again: str) -> dict[str, Any]:
    with session():
        row = task_views.one(ids.resolve(again))
    if row is None:
        raise NotFound(f"no task has the id {again[:60]!r}")
    return reruns.line_of(row, {})


def _form(request: Request, written: dict[str, str], *, problem: str, status: int) -> Response:
    site = site_of(request)
    everybody = site.overviews.experts()
    names = [row["name"] for row in everybody if row["active"] and row["name"]]
    return page(
        request,
        "submit.html",
        status=status,
        written={name: written.get(name, "") for name in WRITTEN},
        problem=problem,
        experts=names,
        models=scan.model_names(site.settings, site.redis),
        backends=[spec.name for spec in site.settings.backends],
        categories=[category.value for category in Category],
        priorities=[priority.value for priority in Priority],
    )
