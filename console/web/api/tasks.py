"""``/api/v1/tasks``: list, show, explain, submit, cancel, retry."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from console.operations import answers, ids, reruns, submission, tasks
from console.operations.errors import InvalidInput, UnknownName
from console.operations.submission_lines import Line
from console.operations.times import parse_since
from console.web.api.answers import ApiError, Json, query_text, whole_number
from console.web.pages.plumbing import site_of
from jobs.process.clock import utc_now
from models import task_views
from models.database import session
from models.task_filter import TaskFilter

MAX_TASKS = 10_000
MAX_IDS = 1000
MAX_LIMIT = 1000
TEXT_FILTERS = (
    "backend",
    "model",
    "expert",
    "category",
    "tag",
    "project",
    "priority",
    "error",
    "code",
    "batch",
    "search",
)


def listed(request: Request) -> Response:
    """``{"tasks": [...], "next_offset": n | null}``, newest first."""
    limit = whole_number(request, "limit", default=50, low=1, high=MAX_LIMIT)
    offset = whole_number(request, "offset", default=0, low=0, high=10_000_000)
    since = query_text(request, "since")
    try:
        moment = parse_since(since, now=utc_now()) if since else None
        statuses = tasks.checked_statuses(request.query_params.getlist("status"))
    except InvalidInput as error:
        raise ApiError(422, str(error)) from None
    texts = {name: query_text(request, name) for name in TEXT_FILTERS}
    whole_ids = tuple(request.query_params.getlist("id"))
    if len(whole_ids) > MAX_LIMIT or not all(map(ids.is_whole, whole_ids)):
        raise ApiError(422, f"id: at most {MAX_LIMIT}, each whole", param="id")
    chosen = TaskFilter(ids=whole_ids, statuses=statuses, since=moment, **texts)
    with session():
        rows = task_views.listing(chosen, limit=limit + 1, offset=offset)
    has_more = len(rows) > limit
    return Json({"tasks": rows[:limit], "next_offset": offset + limit if has_more else None})


def details(request: Request) -> Response:
    with session():
        return Json(tasks.details(_task_id(request)))


def explained(request: Request) -> Response:
    with session():
        return Json(tasks.explained(_task_id(request)))


def submitted(request: Request, body: Any) -> Response:
    """One task, or ``{"tasks": [...]}``. 201; 422 when nothing of it was accepted."""
    several = isinstance(body, dict) and "tasks" in body
    values = body["tasks"] if several else [body]
    if not isinstance(values, list) or (several and set(body) != {"tasks"}):
        raise ApiError(422, 'tasks: write {"tasks": [...]} and nothing beside it', param="tasks")
    if len(values) > MAX_TASKS:
        raise ApiError(422, f"tasks: at most {MAX_TASKS} at once; send them in parts")
    site = site_of(request)
    lines = [Line(number, value) for number, value in enumerate(values, start=1)]
    report = submission.submit(lines, rules=site.rules)
    site.changed()
    accepted = report.submitted + report.duplicates
    document = {**report.document(), "known_ids": report.known_ids}
    return Json(document, status_code=201 if accepted or not values else 422)


def cancelled(request: Request, body: Any) -> Response:
    return _changed(request, tasks.cancel)


def retried(request: Request, body: Any) -> Response:
    """``{"elsewhere": true}`` excludes the places where it ran."""
    elsewhere = body.get("elsewhere", False) if isinstance(body, dict) else None
    if not isinstance(elsewhere, bool):
        raise ApiError(422, "elsewhere: must be true or false", param="elsewhere")
    return _changed(request, partial(tasks.retry, elsewhere=elsewhere))


def run_again(request: Request, body: Any) -> Response:
    """``{"model"?, "expert"?, "backend"?}``: an ended task once more as a new one. 201 with its
    ``id``, 409 where it has not ended, 422 where it is refused."""
    changes = {} if body is None else body
    if not isinstance(changes, dict) or not set(changes) <= set(reruns.CHANGES):
        raise ApiError(422, f"write an object of {', '.join(reruns.CHANGES)}")
    if not all(isinstance(value, str) and value for value in changes.values()):
        raise ApiError(422, "model, expert and backend are names")
    with session():
        done = reruns.rerun([_task_id(request)], changes, rules=site_of(request).rules)
    site_of(request).changed()
    for one in done.unchanged:
        raise ApiError(409 if one.error == reruns.NOT_ENDED else 422, one.error)
    return Json(done.reruns[0], status_code=201)


def rated(request: Request, body: Any) -> Response:
    """``{"thumb": "up" | "down" | null, "note"?}``; null takes it back."""
    thumb, note = (body.get("thumb"), body.get("note", "")) if isinstance(body, dict) else ("", "")
    if not isinstance(thumb, str | None) or not isinstance(note, str):
        raise ApiError(422, 'write {"thumb": "up", "note": "..."}', param="thumb")
    with session():
        answers.give_thumb(_task_id(request), thumb, note)
    return Json({"thumb": thumb, "note": note})


def accepted(request: Request, body: Any) -> Response:
    """``{"attempt": 2}`` names one, ``{"run": id}`` another run of the task; without either the
    best answer becomes the result."""
    run = body.get("run") if isinstance(body, dict) else None
    if isinstance(run, str):
        with session():
            task_id, run_id = _task_id(request), _resolved([run])[0]
            answers.keep_result(task_id, run_id)
        site_of(request).changed()
        return Json({"accepted_run": run_id})
    number = body.get("attempt") if isinstance(body, dict) else None
    if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
        raise ApiError(422, "attempt: must be a whole number", param="attempt")
    return _changed(request, lambda chosen: tasks.accept(chosen[0], number))


def many(change: Callable[[list[str]], object]) -> Callable[[Request, Any], Response]:
    """``{"ids": [...]}`` for ``change``."""

    def handler(request: Request, body: Any) -> Response:
        written = body.get("ids") if isinstance(body, dict) else None
        if not isinstance(written, list) or not all(isinstance(one, str) for one in written):
            raise ApiError(422, 'ids: write {"ids": ["...", ...]}', param="ids")
        if len(written) > MAX_IDS:
            raise ApiError(422, f"ids: at most {MAX_IDS} at once; send them in parts", param="ids")
        with session():
            document = change(_resolved(written))
        site_of(request).changed()
        return Json(document)

    return handler


def _changed(request: Request, change: Callable[[list[str]], object]) -> Response:
    with session():
        document = change([_task_id(request)])
    site_of(request).changed()
    return Json(document)


def _task_id(request: Request) -> str:
    return _resolved([request.path_params["task"]])[0]


def _resolved(written: list[str]) -> list[str]:
    try:
        found = ids.resolve_all(written)
    except UnknownName as error:
        raise ApiError(404, str(error), code="not_found") from None
    except InvalidInput as error:
        raise ApiError(422, str(error)) from None
    if not found and written:
        raise ApiError(404, "an empty id names no task", code="not_found")
    return found
