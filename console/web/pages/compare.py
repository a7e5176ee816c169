"""One task on several models or experts: answers beside each other, and which is the better."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from console.operations import answers, ids
from console.operations.documents import fields_of
from console.operations.errors import InvalidInput, UnknownName
from console.web.figures import scan
from console.web.markdown import to_html
from console.web.pages.plumbing import back_to, field, page, site_of
from models.database import session
from models.states import FINAL_STATES

CHOICES = range(1, answers.MOST_COMPARED)


def compare_page(request: Request) -> Response:
    return _page(request)


def start(request: Request, form: FormData) -> Response:
    """Run the task again on each model and expert of the form."""
    written = [
        {name: field(form, f"{name}-{number}") for name in ("model", "expert")}
        for number in CHOICES
    ]
    choices = [{name: text for name, text in one.items() if text} for one in written]
    site = site_of(request)
    try:
        with session():
            task_id = ids.resolve(request.path_params["task"])
            started = answers.start_comparison(
                task_id, [one for one in choices if one], rules=site.rules
            )
    except UnknownName:
        raise
    except InvalidInput as error:
        return _page(request, problem=str(error), written=written, status=422)
    site.changed()
    return back_to(f"/tasks/{task_id}/compare?{urlencode({'with': ','.join(started)})}")


def choose(request: Request, form: FormData) -> Response:
    """Keep the answer of the run that the form names as the task's result."""
    with session():
        task_id = ids.resolve(request.path_params["task"])
        answers.keep_result(task_id, ids.resolve(field(form, "run")))
    site_of(request).changed()
    query = urlencode({"with": field(form, "with")}) if field(form, "with") else ""
    return back_to(f"/tasks/{task_id}/compare{'?' if query else ''}{query}", "accepted")


@dataclass(frozen=True, slots=True, kw_only=True)
class _ShownRun(answers.ComparedRun):
    """A run with its result as HTML."""

    html: str | None


def _shown(run: answers.ComparedRun) -> _ShownRun:
    return _ShownRun(**fields_of(run), html=to_html(run.result) if run.result else None)


def _page(
    request: Request,
    *,
    problem: str = "",
    written: list[dict[str, str]] | None = None,
    status: int = 200,
) -> Response:
    site = site_of(request)
    wanted = request.query_params.get("with", "")
    with session():
        task_id = ids.resolve(request.path_params["task"])
        rows = answers.compared(task_id, wanted.split(","))
    final = {state.value for state in FINAL_STATES}
    return page(
        request,
        "compare.html",
        status=status,
        task=rows[0],
        runs=[_shown(row) for row in rows],
        is_open=any(row.status not in final for row in rows),
        may_start=rows[0].status in final,
        wanted=wanted,
        written=written or [{"model": "", "expert": ""} for _ in CHOICES],
        problem=problem,
        models=scan.model_names(site.settings, site.redis),
        experts=[one.name for one in site.overviews.experts() if one.active and one.name],
    )
