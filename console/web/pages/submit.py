"""The forms for tasks: one, one for each row of a table, or the lines of a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from console.operations import ids, reruns, submission, templates, uploads
from console.operations.errors import InvalidInput, UnknownName
from console.operations.submission import Report
from console.operations.submission_lines import Line, RejectedLine, read_lines
from console.web.figures import scan
from console.web.pages.plumbing import back_to, field, page, site_of
from llm.types import Category
from models import project, task_views
from models.database import session
from models.states import Priority

AGAIN = "again"
FIELDS = (
    "title", "description", "priority", "category", "expert", "backend", "model", "project",
)  # fmt: skip
IN_THE_FORM = frozenset(
    {"assignee_hint", "category", "preferred_model", "required_backend", "response_schema",
     "tags", "project"}
)  # fmt: skip
WRITTEN = (*FIELDS, "tags", "schema", "after", "template", AGAIN)
MOST_FILES = uploads.MAX_FILES + 2
REFUSALS_SHOWN = 100


def submit_page(request: Request) -> Response:
    """An empty form, or with ``?again=ID`` that of an ended task."""
    again = request.query_params.get(AGAIN, "")
    return _form(request, _written_of(again) if again else {})


def submit(request: Request, form: FormData) -> Response:
    """Submit what the form holds; with ``verb=check`` only say whether it would be accepted."""
    written = {name: field(form, name) for name in WRITTEN}
    if field(form, "verb") == "lines":
        return _submit_lines(request, form)
    table = _file(form, "table")
    try:
        line = _line(written)
        if field(form, "verb") == "check":
            return _checked(request, written, line, table)
        upload = _upload(request, form)
    except InvalidInput as error:
        return _form(request, written, problem=str(error))
    if upload is not None:
        line["files"] = [str(path) for path in upload.files]
        line["metadata"] = {**line.get("metadata", {}), uploads.KEY: upload.directory.name}
    try:
        report = _submitted(request, written["template"], line, table)
    except InvalidInput as error:
        report = Report(rejected=[RejectedLine(1, str(error))])
    if upload is not None and not report.ids:
        upload.delete()
    if table is None and report.rejected:
        return _form(request, written, problem=report.rejected[0].error)
    if table is None and report.ids:
        return back_to(f"/tasks/{report.ids[0]}", "submitted", n=1)
    return _reported(request, written, report)


def _submitted(
    request: Request, template: str, line: dict[str, Any], table: UploadFile | None
) -> Report:
    """The line, or the template under it, filled by each row of the table. Raises InvalidInput."""
    site = site_of(request)
    with session():
        report = submission.submit(_rows(template, line, table), rules=site.rules)
    site.changed()
    return report


def _rows(template: str, line: dict[str, Any], table: UploadFile | None) -> list[Line]:
    """Without a template and a table, braces in the text are text."""
    if not template and table is None:
        return [Line(1, line)]
    base = {**(templates.details(template).line if template else {}), **line}
    if table is None:
        return list(templates.filled_lines(base, [Line(1, value={})], {}))
    rows = templates.read_rows(table.file, table.filename or "")
    return list(templates.filled_lines(base, rows, {}))


def _submit_lines(request: Request, form: FormData) -> Response:
    lines = _file(form, "lines")
    if lines is None:
        return _form(request, {}, problem="file: choose a JSONL file")
    site = site_of(request)
    report = submission.submit(read_lines(lines.file), rules=site.rules)
    site.changed()
    return _reported(request, {}, report)


def _checked(
    request: Request, written: dict[str, str], line: dict[str, Any], table: UploadFile | None
) -> Response:
    """Every row of the table is checked; nothing is submitted and no file kept."""
    with session():
        lines = _rows(written["template"], line, table)
        refused = submission.problems_of(lines, rules=site_of(request).rules)
    if refused and len(lines) == 1:
        return _form(request, written, problem=refused[0].error)
    return _form(request, written, good=len(lines) - len(refused), refused=refused)


def _upload(request: Request, form: FormData) -> uploads.Upload | None:
    sent = [one for one in form.getlist("files") if isinstance(one, UploadFile) and one.filename]
    if not sent:
        return None
    files = [(one.filename or "", one.file) for one in sent]
    return uploads.keep(files, below=site_of(request).settings.upload_directory)


def _file(form: FormData, name: str) -> UploadFile | None:
    found = form.get(name)
    return found if isinstance(found, UploadFile) and found.filename else None


def _line(written: Mapping[str, str]) -> dict[str, Any]:
    """What the form says, as a line of ``kos submit --from``. Raises InvalidInput."""
    line: dict[str, Any] = {name: written[name] for name in FIELDS if written[name]}
    if written[AGAIN]:
        options = _line_of(written[AGAIN])["metadata"]
        line["metadata"] = {key: options[key] for key in options if key not in IN_THE_FORM}
    if written["after"]:
        line["after"] = written["after"].split()
    if written["tags"]:
        line["tags"] = [tag.strip() for tag in written["tags"].split(",") if tag.strip()]
    if written["schema"]:
        try:
            line["schema"] = json.loads(written["schema"])
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"schema: is not JSON ({error})") from None
    return line


def _written_of(again: str) -> dict[str, str]:
    """The form of a task; raises UnknownName and InvalidInput as `ids.resolve` does."""
    line = _line_of(again)
    options = line["metadata"]
    written = {name: str(line.get(name) or "") for name in FIELDS}
    written["model"] = str(options.get("preferred_model") or "")
    written["backend"] = str(options.get("required_backend") or "")
    written["project"] = str(options.get("project") or "")
    tags = options.get("tags")
    written["tags"] = ", ".join(map(str, tags)) if isinstance(tags, list) else ""
    schema = options.get("response_schema")
    written["schema"] = json.dumps(schema, ensure_ascii=False) if schema else ""
    return written | {"after": " ".join(line.get("after", ())), AGAIN: options[reruns.LINK]}


def _line_of(again: str) -> dict[str, Any]:
    with session():
        row = task_views.one(ids.resolve(again))
    if row is None:
        raise UnknownName(f"no task has the id {again[:60]!r}")
    return reruns.line_of(row, {})


def _reported(request: Request, written: Mapping[str, str], report: Report) -> Response:
    return _form(request, written, report=report, refused=sorted(report.rejected))


def _form(
    request: Request,
    written: Mapping[str, str],
    *,
    problem: str = "",
    good: int | None = None,
    refused: list[RejectedLine] | None = None,
    report: Report | None = None,
) -> Response:
    site = site_of(request)
    with session():
        names = {"known_templates": templates.listed(), "projects": project.listed()}
    refused = refused or []
    is_wrong = bool(problem) or (report is not None and not report.ids)
    return page(
        request,
        "submit.html",
        status=422 if is_wrong else 200,
        written={name: written.get(name, "") for name in WRITTEN},
        problem=problem,
        good=good,
        refused=refused[:REFUSALS_SHOWN],
        refused_count=len(refused),
        report=report,
        experts=[one.name for one in site.overviews.experts() if one.active and one.name],
        models=scan.model_names(site.settings, site.redis),
        backends=[spec.name for spec in site.settings.backends],
        categories=[category.value for category in Category],
        priorities=[priority.value for priority in Priority],
        most_files=uploads.MAX_FILES,
        **names,
    )
