"""Batches: files of requests as OpenAI's clients write them, their progress and their results."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from console.web.batches import routes
from console.web.pages.plumbing import back_to, field, in_time, page
from models import batch as store
from models.batch import StoredBatch
from models.database import session

PAGE_ROWS = 50
FAILURES_SHOWN = 100
MAX_NAME_CHARS = 200
FILES = {"results": "output_file_id", "errors": "error_file_id", "input": "input_file_id"}


def batches_page(request: Request) -> Response:
    return _list(request)


def begin(request: Request, form: FormData) -> Response:
    """Upload the file of the form and begin its batch."""
    upload, name = form.get("file"), field(form, "name")[:MAX_NAME_CHARS]
    if not isinstance(upload, UploadFile) or not upload.filename:
        return _list(request, problem="file: choose a JSONL file", status=422)
    if not upload.size:
        return _list(request, problem="file: is empty", status=422)
    kept = routes.keep(request, upload)
    row = routes.begin(request, kept.id, metadata={"name": name} if name else None)
    return back_to(f"/batches/{row.id}", "batch_begun")


def batch_page(request: Request) -> Response:
    row = routes.found_batch(request)
    with session():
        failures = store.failures(row.id, limit=FAILURES_SHOWN)
    return page(
        request,
        "batch.html",
        batch=_shown(row),
        left=routes.left(request, row),
        failures=failures,
        shown=FAILURES_SHOWN,
    )


def download(request: Request) -> Response:
    """The results, the errors or the input of a batch as a file."""
    kind = str(request.path_params["file"])
    row = routes.found_batch(request)
    file_id = getattr(row, FILES[kind]) if kind in FILES else None
    if file_id is None:
        raise HTTPException(404)
    return routes.content(request, file_id, filename=f"{row.id}-{kind}.jsonl")


def cancel(request: Request, form: FormData) -> Response:
    row = routes.cancel(request)
    said = "batch_cancelling" if row.status == "cancelling" else "nothing"
    return back_to(f"/batches/{row.id}", said)


def _list(request: Request, *, problem: str = "", status: int = 200) -> Response:
    rows = in_time(request, "the batches", lambda: store.batches(after=None, limit=PAGE_ROWS))
    return page(
        request,
        "batches.html",
        status=status,
        batches=rows and [_shown(row) for row in rows],
        problem=problem,
    )


def _shown(row: StoredBatch) -> dict[str, Any]:
    metadata = row.metadata if isinstance(row.metadata, dict) else {}
    errors = row.errors if isinstance(row.errors, dict) else {}
    return {
        **asdict(row),
        "name": metadata.get("name") or row.id,
        "is_open": row.status in store.OPEN,
        "may_cancel": row.status in {"validating", "in_progress"},
        "problems": [one.get("message", "") for one in errors.get("data", [])],
    }
